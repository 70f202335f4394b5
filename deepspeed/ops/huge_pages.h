// Large buffers that are used once a step: in 2 MB pages the first touch of 100 MB takes 17 ms instead of 50,
// as long as the kernel has such pages free; where memory is fragmented it may take longer to make them than
// it saves.
#pragma once

#include <ATen/core/Tensor.h>

namespace deepspeed::ops {

/// An uninitialised contiguous CPU tensor, which asks the kernel for huge pages when it is at least one of
/// them large. An Error that says how much was asked for when memory is short. Where freed memory is kept
/// (accel/memory.h) up to 512 MB of the buffers freed last wait for the next of their size; all others go
/// back to the kernel.
at::Tensor empty_huge(at::IntArrayRef sizes, at::ScalarType type);

}  // namespace deepspeed::ops
