#include "deepspeed/ops/cuda/element.cuh"
#include "deepspeed/ops/cuda/kernels.h"

namespace deepspeed::ops::cuda {
namespace {

// Block `counter` of the stream: Philox4x32-10 (accel/rng.h).
__device__ void philox(uint64_t seed, uint64_t stream, uint64_t counter, uint32_t out[4]) {
  uint32_t c0 = static_cast<uint32_t>(counter), c1 = static_cast<uint32_t>(counter >> 32);
  uint32_t c2 = static_cast<uint32_t>(stream), c3 = static_cast<uint32_t>(stream >> 32);
  uint32_t k0 = static_cast<uint32_t>(seed), k1 = static_cast<uint32_t>(seed >> 32);
  for (int round = 0; round < 10; ++round) {
    const uint32_t high0 = __umulhi(0xD2511F53u, c0), low0 = 0xD2511F53u * c0;
    const uint32_t high1 = __umulhi(0xCD9E8D57u, c2), low1 = 0xCD9E8D57u * c2;
    c0 = high1 ^ c1 ^ k0;
    c2 = high0 ^ c3 ^ k1;
    c1 = low1;
    c3 = low0;
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  out[0] = c0, out[1] = c1, out[2] = c2, out[3] = c3;
}

// Each thread takes the four elements of a block of the stream.
template <class T>
__global__ void dropout_kernel(DropoutArgs s) {
  const auto* from = static_cast<const T*>(s.from);
  const auto* residual = static_cast<const T*>(s.residual);
  auto* to = static_cast<T*>(s.to);
  const int64_t stride = int64_t{gridDim.x} * blockDim.x, blocks = (s.numel + 3) / 4;
  for (int64_t block = int64_t{blockIdx.x} * blockDim.x + threadIdx.x; block < blocks; block += stride) {
    uint32_t words[4];
    philox(s.mask.seed, s.mask.stream, static_cast<uint64_t>(block), words);
    for (int j = 0; j < 4; ++j) {
      const int64_t i = 4 * block + j;
      if (i >= s.numel) break;
      float x = words[j] >= s.mask.threshold ? __fmul_rn(load(from, i), s.mask.keep_scale) : 0.0f;
      if (residual != nullptr) x = __fadd_rn(load(residual, i), x);
      store(to, i, x);
    }
  }
}

}  // namespace

void dropout(const DropoutArgs& s, Stream stream) {
  if (s.numel == 0) return;
  with_type(s.type, [&](auto element) {
    dropout_kernel<decltype(element)>
        <<<blocks_for((s.numel + 3) / 4), kThreads, 0, static_cast<cudaStream_t>(stream)>>>(s);
  });
  check_launch("dropout");
}

}  // namespace deepspeed::ops::cuda
