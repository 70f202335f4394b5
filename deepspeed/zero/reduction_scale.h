// What gradients are multiplied by around their sum over the data-parallel ranks: a pure function of the
// configuration.
#pragma once

#include <ATen/core/Tensor.h>

#include "deepspeed/comm/group.h"
#include "deepspeed/zero/config.h"
#include "deepspeed/zero/state_table.h"

namespace deepspeed::zero {

/// after * op over ranks of (before * gradient).
struct ReductionScale {
  double before = 1, after = 1;
  comm::ReduceOp op = comm::ReduceOp::kSum;
  bool operator==(const ReductionScale&) const = default;
};

/// As DeepSpeed's allreduce_bucket (runtime/engine.py), average_tensor (runtime/zero/stage_1_and_2.py) and
/// __avg_scatter_contiguous_grads (runtime/zero/stage3.py): without sharded states, and where
/// `reduce_scatter` is off, gradients / f are summed and then multiplied by f / world_size (f is
/// gradient_predivide_factor), or divided by world_size first with `prescale_gradients`; reductions to their
/// owners and all of sharded parameters divide first, unless a factor asks otherwise. What `wire` overflows
/// at decides whether the order matters: in fp32 it does not, and the reduction takes the average itself,
/// which saves a pass over the gradients.
ReductionScale reduction_scale(const ZeroConfig& config, const StateTable& table, int world_size,
                               at::ScalarType wire);

}  // namespace deepspeed::zero
