#include "deepspeed/ops/cuda/element.cuh"
#include "deepspeed/ops/cuda/kernels.h"

namespace deepspeed::ops::cuda {
namespace {

// Each thread takes a pair of a head's turned elements, or two of those that are not turned.
template <class T>
__global__ void rotary_kernel(RotaryArgs s) {
  const cpu::RotaryArgs& a = s.turn;
  const int64_t pairs = (a.dim + 1) / 2, turned = a.rotary_dim / 2, stride = int64_t{gridDim.x} * blockDim.x;
  const int64_t all = s.batch * a.heads * a.length * pairs;
  for (int64_t at = int64_t{blockIdx.x} * blockDim.x + threadIdx.x; at < all; at += stride) {
    const int64_t pair = at % pairs, head = at / pairs % a.heads, t = at / (pairs * a.heads) % a.length,
                  b = at / (pairs * a.heads * a.length);
    const auto* from = static_cast<const T*>(a.from) + b * a.from_batch + head * a.from_head + t * a.from_row;
    auto* to = static_cast<T*>(a.to) + b * a.to_batch + head * a.to_head + t * a.to_row;
    if (pair >= turned) {
      for (int64_t i = 2 * pair; i < a.dim && i < 2 * pair + 2; ++i) to[i] = from[i];
      continue;
    }
    const int64_t first = a.interleaved ? 2 * pair : pair, second = a.interleaved ? first + 1 : pair + turned;
    const int64_t row = b * a.table_batch + t * turned + pair;
    const float cos = a.cos[row], sin = a.sign * a.sin[row], x = load(from, first), y = load(from, second);
    store(to, first, x * cos - y * sin);
    store(to, second, y * cos + x * sin);
  }
}

}  // namespace

void rotary(const RotaryArgs& s, Stream stream) {
  const int64_t pairs = s.batch * s.turn.heads * s.turn.length * ((s.turn.dim + 1) / 2);
  if (pairs == 0) return;
  with_type(s.type, [&](auto element) {
    rotary_kernel<decltype(element)><<<blocks_for(pairs), kThreads, 0, static_cast<cudaStream_t>(stream)>>>(s);
  });
  check_launch("rotary");
}

}  // namespace deepspeed::ops::cuda
