#include "deepspeed/ops/cuda/element.cuh"
#include "deepspeed/ops/cuda/kernels.h"

namespace deepspeed::ops::cuda {
namespace {

template <class T>
__global__ void gated_kernel(GatedArgs s) {
  const int64_t stride = int64_t{gridDim.x} * blockDim.x;
  for (int64_t i = int64_t{blockIdx.x} * blockDim.x + threadIdx.x; i < s.numel; i += stride) {
    const float gate = load(static_cast<const T*>(s.gate), i), up = load(static_cast<const T*>(s.up), i);
    store(static_cast<T*>(s.y), i, activated(gate, s.activation) * up);
  }
}

}  // namespace

void gated(const GatedArgs& s, Stream stream) {
  if (s.numel == 0) return;
  with_type(s.type, [&](auto element) {
    gated_kernel<decltype(element)><<<blocks_for(s.numel), kThreads, 0, static_cast<cudaStream_t>(stream)>>>(s);
  });
  check_launch("gated activation");
}

}  // namespace deepspeed::ops::cuda
