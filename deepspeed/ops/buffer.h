// Large buffers on any device.
#pragma once

#include <ATen/core/Tensor.h>

namespace deepspeed::ops {

/// An uninitialised contiguous tensor on `device`; on the CPU as empty_huge (huge_pages.h).
at::Tensor empty_buffer(at::IntArrayRef sizes, at::ScalarType type, at::Device device);

}  // namespace deepspeed::ops
