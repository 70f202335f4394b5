#include "deepspeed/optim/lion.h"

#include "deepspeed/ops/lion.h"

namespace deepspeed::optim {

Lion::Lion(std::vector<ParamGroup> groups, const Options& options)
    : StatefulOptimizer(std::move(groups), {.names = {"exp_avg"}, .always_fp32 = options.fp32_states}),
      options_(options) {}

void Lion::update(size_t group, size_t piece, double grad_scale) {
  const ParamGroup& g = groups()[group];
  const Piece& p = piece_at(group, piece);
  ops::lion_step(p.param, p.grad, states(group, piece)[0],
                 {.lr = g.lr,
                  .beta1 = g.betas[0],
                  .beta2 = g.betas[1],
                  .weight_decay = g.weight_decay,
                  .grad_scale = grad_scale,
                  .order = p.on_device ? ops::UpdateOrder::kFused : options_.order},
                 p.low_precision_copy);
}

}  // namespace deepspeed::optim
