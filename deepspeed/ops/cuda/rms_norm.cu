#include "deepspeed/ops/cuda/element.cuh"
#include "deepspeed/ops/cuda/kernels.h"

namespace deepspeed::ops::cuda {
namespace {

constexpr int kMostThreads = 512;

__device__ inline float sum_of_block(float x) {
  __shared__ float parts[kMostThreads / 32];
  for (int step = 16; step > 0; step /= 2) x += __shfl_xor_sync(0xFFFFFFFFu, x, step);
  if (threadIdx.x % 32 == 0) parts[threadIdx.x / 32] = x;
  __syncthreads();
  float sum = 0;
  for (unsigned i = 0; i < blockDim.x / 32; ++i) sum += parts[i];
  return sum;
}

// A block takes a row.
template <class T, class W>
__global__ void rms_norm_kernel(RmsNormArgs s) {
  const auto* x = static_cast<const T*>(s.x) + blockIdx.x * s.width;
  auto* y = static_cast<T*>(s.y) + blockIdx.x * s.width;
  const auto* weight = static_cast<const W*>(s.weight);
  float squares = 0;
  for (int64_t i = threadIdx.x; i < s.width; i += blockDim.x) squares += load(x, i) * load(x, i);
  const float scale = rsqrtf(sum_of_block(squares) / static_cast<float>(s.width) + s.eps);
  for (int64_t i = threadIdx.x; i < s.width; i += blockDim.x) {
    T normal;
    store(&normal, 0, load(x, i) * scale);
    store(y, i, s.from_one ? load(x, i) * scale * (load(weight, i) + 1.0f) : load(&normal, 0) * load(weight, i));
  }
}

}  // namespace

void rms_norm(const RmsNormArgs& s, Stream stream) {
  if (s.rows == 0) return;
  const int64_t warps = (s.width + 31) / 32 * 32;
  const auto threads = static_cast<unsigned>(warps < kMostThreads ? warps : kMostThreads);
  with_type(s.type, [&](auto element) {
    with_type(s.weight_type, [&](auto weight) {
      rms_norm_kernel<decltype(element), decltype(weight)>
          <<<static_cast<unsigned>(s.rows), threads, 0, static_cast<cudaStream_t>(stream)>>>(s);
    });
  });
  check_launch("rms_norm");
}

}  // namespace deepspeed::ops::cuda
