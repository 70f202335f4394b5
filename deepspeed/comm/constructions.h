// The constructions that policy.h chooses between. Internal to comm. Tensors are flat, contiguous and
// checked.
#pragma once

#include <vector>

#include "deepspeed/comm/pending_work.h"

namespace deepspeed::comm {

using Tensors = std::vector<at::Tensor>;

c10d::ReduceOp to_c10d(ReduceOp op);

/// A flat view of t without autograd. Throws when t is not contiguous or not on the group's device.
at::Tensor flat(const GroupState& group, const at::Tensor& t);
/// The same memory as bytes: what only moves data needs no support for the dtype.
at::Tensor as_bytes(const at::Tensor& flat_tensor);
Tensors as_bytes(const Tensors& flat_tensors);
/// Consecutive slices of these lengths.
Tensors cut(const at::Tensor& flat_tensor, const std::vector<int64_t>& lengths);

/// outputs[r] = rank r's input.
Started gather_all(GroupState& group, const Tensors& outputs, const at::Tensor& input);
/// output = this rank's part of op over ranks of parts.
Started reduce_and_scatter(GroupState& group, const at::Tensor& output, const Tensors& parts, ReduceOp op);
/// inputs[r] goes to rank r's outputs[this rank]. Pairs of zero elements are skipped on both sides.
Started exchange_all(GroupState& group, const Tensors& outputs, const Tensors& inputs);
/// t = op over ranks, in place.
Started reduce_all(GroupState& group, const at::Tensor& t, ReduceOp op);

}  // namespace deepspeed::comm
