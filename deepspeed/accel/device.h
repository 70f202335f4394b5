// The device that a rank computes on. What libtorch offers for every device alike is used, so that the
// library is the same with and without CUDA: without it there just is no device.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace deepspeed::accel {

/// How many devices beside the CPU this process can use.
int device_count();

/// The device of the rank with this number on its host, by DS_ACCELERATOR: cpu, or cuda, of which each rank
/// has the one of its number. Not set: cuda where there is one. Errors: an accelerator that is unknown, not
/// in this build or not in this machine, and more ranks than devices.
at::Device device_of_rank(int local_rank);

/// Most bytes of the device's memory that tensors of this process have held at once; 0 on the CPU.
int64_t peak_device_bytes(at::Device device);

/// Returns when the device has done all that this thread has told it. On the CPU at once.
void synchronize(at::Device device);

}  // namespace deepspeed::accel
