// Our CUDA kernels, on raw pointers of the device. Torch-free: nvcc reads no torch header. In builds without
// CUDA no_cuda.cpp takes their place. They return when the kernel is on its way, with an Error where it could
// not be.
#pragma once

#include <cstdint>

#include "deepspeed/ops/cpu/adam_kernel.h"
#include "deepspeed/ops/cpu/dropout_kernel.h"

namespace deepspeed::ops::cuda {

/// A cudaStream_t of the current device.
using Stream = void*;

/// All elements of an update in FusedAdam's order of operations (constants.fused), to the bit as the CPU's
/// kernels have it.
void adam_step(const cpu::UpdateBuffers& buffers, int64_t numel, const cpu::AdamConstants& constants,
               Stream stream);

/// As cpu::DropoutKernel, to the bit, of all elements; also in fp16.
struct DropoutArgs {
  cpu::DropoutMask mask;
  const void *from, *residual;  // residual: or null
  void* to;
  cpu::Element type;
  int64_t numel;
};
void dropout(const DropoutArgs& args, Stream stream);

}  // namespace deepspeed::ops::cuda
