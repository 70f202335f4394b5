#include "deepspeed/optim/adagrad.h"

#include "deepspeed/ops/adagrad.h"

namespace deepspeed::optim {

Adagrad::Adagrad(std::vector<ParamGroup> groups, const Options& options)
    : StatefulOptimizer(std::move(groups), {.names = {"sum"},
                                            .always_fp32 = options.fp32_states,
                                            .initial = options.initial_accumulator_value}),
      options_(options) {}

void Adagrad::update(size_t group, size_t piece, double grad_scale) {
  const ParamGroup& g = groups()[group];
  const Piece& p = piece_at(group, piece);
  ops::adagrad_step(p.param, p.grad, states(group, piece)[0],
                    {.lr = g.lr,
                     .lr_decay = options_.lr_decay,
                     .eps = g.eps,
                     .weight_decay = g.weight_decay,
                     .step = step_count(),
                     .grad_scale = grad_scale,
                     .order = p.on_device ? ops::UpdateOrder::kFused : options_.order},
                    p.low_precision_copy);
}

}  // namespace deepspeed::optim
