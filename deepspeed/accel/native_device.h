// A device as its own library knows it, for kernels of ours.
#pragma once

#include <ATen/core/Tensor.h>

namespace deepspeed::accel {

/// The cudaStream_t that this thread gives the GPU its work on. Throws where CUDA was not compiled in.
void* native_stream(at::Device device);

/// What an NVIDIA GPU's instructions are numbered by: 90 is compute capability 9.0. 0 for other devices.
int compute_capability(at::Device device);

}  // namespace deepspeed::accel
