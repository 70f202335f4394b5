// Loads and stores of the storage types, activations, and the check after a launch.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include <cstdint>

#include "deepspeed/base/error.h"
#include "deepspeed/ops/cpu/element.h"
#include "deepspeed/ops/cpu/packed_format.h"

namespace deepspeed::ops::cuda {

__device__ inline float load(const float* p, int64_t i) { return p[i]; }
__device__ inline float load(const __nv_bfloat16* p, int64_t i) { return __bfloat162float(p[i]); }
__device__ inline float load(const __half* p, int64_t i) { return __half2float(p[i]); }
__device__ inline void store(float* p, int64_t i, float x) { p[i] = x; }
__device__ inline void store(__nv_bfloat16* p, int64_t i, float x) { p[i] = __float2bfloat16_rn(x); }
__device__ inline void store(__half* p, int64_t i, float x) { p[i] = __float2half_rn(x); }

__device__ inline float activated(float x, cpu::PackedActivation activation) {
  switch (activation) {
    case cpu::PackedActivation::kNone:
      return x;
    case cpu::PackedActivation::kGeluTanh:
      return 0.5f * x * (1.0f + tanhf(0.7978845608028654f * (x + 0.044715f * x * x * x)));
    case cpu::PackedActivation::kGeluErf:
      return 0.5f * x * (1.0f + erff(x * 0.7071067811865476f));
    case cpu::PackedActivation::kSilu:
      return x / (1.0f + expf(-x));
    case cpu::PackedActivation::kRelu:
      return x < 0.0f ? 0.0f : x;
  }
  return x;
}

/// body(T{}) with the type of the elements.
template <class Body>
void with_type(cpu::Element element, Body&& body) {
  switch (element) {
    case cpu::Element::kFp32:
      return body(float{});
    case cpu::Element::kBf16:
      return body(__nv_bfloat16{});
    case cpu::Element::kFp16:
      return body(__half{});
  }
}

inline void check_launch(const char* op) {
  const cudaError_t error = cudaGetLastError();
  DS_CHECK(error == cudaSuccess, "{}: {}", op, cudaGetErrorString(error));
}

constexpr int kThreads = 256;

inline unsigned blocks_for(int64_t items) {
  constexpr int64_t kMost = 132 * 16;  // each thread takes several where there are more
  const int64_t blocks = (items + kThreads - 1) / kThreads;
  return static_cast<unsigned>(blocks < kMost ? blocks : kMost);
}

}  // namespace deepspeed::ops::cuda
