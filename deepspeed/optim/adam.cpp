#include "deepspeed/optim/adam.h"

#include "deepspeed/ops/adam.h"

namespace deepspeed::optim {

Adam::Adam(std::vector<ParamGroup> groups, Options options)
    : StatefulOptimizer(std::move(groups),
                        {.names = {"exp_avg", "exp_avg_sq"}, .always_fp32 = options.fp32_states}),
      options_(std::move(options)) {}

void Adam::update(size_t group, size_t piece, double grad_scale) {
  const ParamGroup& g = groups()[group];
  const Piece& p = piece_at(group, piece);
  const std::vector<at::Tensor>& moments = states(group, piece);
  ops::adam_step(p.param, p.grad, moments[0], moments[1],
                 {.lr = g.lr,
                  .beta1 = g.betas[0],
                  .beta2 = g.betas[1],
                  .eps = g.eps,
                  .weight_decay = g.weight_decay,
                  .step = step_count(),
                  .adamw = options_.decoupled_weight_decay,
                  .bias_correction = g.bias_correction,
                  .grad_scale = grad_scale,
                  .order = options_.order},
                 p.low_precision_copy);
}

}  // namespace deepspeed::optim
