#include "deepspeed/zero/reduction_scale.h"

namespace deepspeed::zero {

ReductionScale reduction_scale(const ZeroConfig& config, const StateTable& table, int world_size,
                               at::ScalarType wire) {
  const ReductionConfig& reduction = config.reduction;
  if (reduction.gradient_allreduce_op == GradientOp::kSum) return {};
  const double factor = reduction.gradient_predivide_factor;
  const bool to_owner = table.optimizer.sharded && config.reduce_scatter;
  const bool sums_only = reduction.prescale_gradients || config.plus_plus.quantized_gradients;
  if (wire == at::kFloat && factor == 1 && !sums_only) return {.op = comm::ReduceOp::kAvg};
  const bool divides_first =
      reduction.prescale_gradients || (factor == 1 && (to_owner || table.parameter.sharded));
  if (divides_first) return {.before = 1.0 / world_size, .after = 1};
  return {.before = 1.0 / factor, .after = factor / world_size};
}

}  // namespace deepspeed::zero
