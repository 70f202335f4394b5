// What tensor-parallel ranks do together: differentiable, the same bits on every rank. Collective, each call
// on all ranks of the group.
#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

#include "deepspeed/comm/group.h"
#include "deepspeed/tensor_parallel/slice.h"

namespace deepspeed::tensor_parallel {

/// x itself, which is the same on every rank; its gradients are summed over the ranks.
at::Tensor enter(const at::Tensor& x, const comm::GroupPtr& group);

/// The sum over the ranks of their parts, which are overwritten where no gradient is recorded. Each part's
/// gradient is that of the sum.
at::Tensor sum(const at::Tensor& part, const comm::GroupPtr& group);

/// [..., n_r] of rank r -> [..., n_0 + n_1 + ...]; `sizes` are those n, of all ranks. A part's gradient is
/// its slice.
at::Tensor concatenate(const at::Tensor& part, const std::vector<int64_t>& sizes,
                       const comm::GroupPtr& group);

/// The gradient of a slice of which some ranges, from number `first` on, are held by several ranks, each of
/// which has only its share of their gradient: with the sum in those.
at::Tensor sum_copies(const at::Tensor& gradient, const Slice& slice, size_t first,
                      const comm::GroupPtr& group);

}  // namespace deepspeed::tensor_parallel
