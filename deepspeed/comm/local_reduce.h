// The arithmetic of reductions whose parts are all at hand. Internal to comm.
#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

#include "deepspeed/comm/group.h"

namespace deepspeed::comm {

/// output = op over parts, in the order of parts. 16-bit sums are formed in fp32 and rounded once. output may
/// be one of the parts, or disjoint from all of them. All are contiguous, of one dtype and of output's
/// length.
void reduce_parts(const at::Tensor& output, const std::vector<at::Tensor>& parts, ReduceOp op);

/// Throws base::Error when op is not defined for the dtype.
void check_reduce_op(ReduceOp op, at::ScalarType dtype);

/// Whether the two contiguous tensors share a byte.
bool overlaps(const at::Tensor& a, const at::Tensor& b);

}  // namespace deepspeed::comm
