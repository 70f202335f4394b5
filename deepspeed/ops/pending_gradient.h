// A dense gradient of a leaf that autograd holds until another op of the same backward adds to it. Autograd
// adds rows (a sparse gradient) to it out of place, a copy of a whole table; here they are added in place.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace deepspeed::ops {

/// What an op's backward knows a leaf by, fit for its saved_data; 0 for a tensor that is no leaf, whose
/// gradient passes through other ops.
int64_t leaf_identity(const at::Tensor& t);

/// Called in an op's backward with the dense gradient of `leaf` that it is about to return. Nothing is kept
/// alive by it.
void announce_gradient(int64_t leaf, const at::Tensor& gradient);

/// The gradient of `leaf` that was announced last in the backward that runs on this thread, if autograd alone
/// still holds it; else undefined. What is added to it in place is part of the leaf's gradient, provided that
/// the caller is itself an op that this backward still expects a gradient of `leaf` from.
at::Tensor pending_gradient(int64_t leaf);

}  // namespace deepspeed::ops
