#include <cuda_fp8.h>

#include "deepspeed/ops/cuda/element.cuh"
#include "deepspeed/ops/cuda/kernels.h"

namespace deepspeed::ops::cuda {
namespace {

constexpr int kMostThreads = 256;

__device__ inline float most_of_block(float x) {
  __shared__ float parts[kMostThreads / 32];
  // fmaxf would lose a NaN.
  const auto larger = [](float a, float b) { return a > b || isnan(a) ? a : b; };
  for (int step = 16; step > 0; step /= 2) x = larger(x, __shfl_xor_sync(0xFFFFFFFFu, x, step));
  if (threadIdx.x % 32 == 0) parts[threadIdx.x / 32] = x;
  __syncthreads();
  float most = parts[0];
  for (unsigned i = 1; i < blockDim.x / 32; ++i) most = larger(most, parts[i]);
  return most;
}

// A block takes a group of a row.
template <class T>
__global__ void round_rows_kernel(RoundRowsArgs s) {
  const int64_t groups = (s.in + s.group - 1) / s.group, row = blockIdx.x / groups, group = blockIdx.x % groups;
  const int64_t begin = group * s.group, end = begin + s.group < s.in ? begin + s.group : s.in;
  const auto* x = static_cast<const T*>(s.x) + row * s.in;
  float most = 0;
  for (int64_t k = begin + threadIdx.x; k < end; k += blockDim.x) {
    const float size = fabsf(load(x, k));
    most = size > most || isnan(size) ? size : most;
  }
  most = most_of_block(most);
  const float steps = s.to == RoundTo::kFp8 ? 448.0f : 127.0f;
  // What is next to nothing is nothing, as on the CPU (packed_loop.h); an infinity makes NaN of its group.
  const bool none = most < 0x1p-100f;
  const float scale = none ? 0.0f : most / steps, inverse = none ? 0.0f : steps / most;
  if (threadIdx.x == 0 && s.scales != nullptr) s.scales[blockIdx.x] = scale;
  for (int64_t k = begin + threadIdx.x; k < end; k += blockDim.x) {
    const float y = load(x, k) * inverse;
    const int64_t at = row * s.in + k;
    switch (s.to) {
      case RoundTo::kFp8:
        static_cast<__nv_fp8_storage_t*>(s.out)[at] = __nv_cvt_float_to_fp8(y, __NV_SATFINITE, __NV_E4M3);
        break;
      case RoundTo::kInt8:
        static_cast<int8_t*>(s.out)[at] = static_cast<int8_t>(rintf(y));
        break;
      case RoundTo::kInt8Numbers:
        static_cast<float*>(s.out)[at] = rintf(y) * scale;
        break;
    }
  }
}

}  // namespace

void round_rows(const RoundRowsArgs& s, Stream stream) {
  const int64_t blocks = s.rows * ((s.in + s.group - 1) / s.group), warps = (s.group + 31) / 32 * 32;
  if (blocks == 0) return;
  const auto threads = static_cast<unsigned>(warps < kMostThreads ? warps : kMostThreads);
  with_type(s.type, [&](auto element) {
    round_rows_kernel<decltype(element)>
        <<<static_cast<unsigned>(blocks), threads, 0, static_cast<cudaStream_t>(stream)>>>(s);
  });
  check_launch("rounding of rows");
}

}  // namespace deepspeed::ops::cuda
