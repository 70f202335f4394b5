#include "deepspeed/optim/adam.h"

#include "deepspeed/ops/adam.h"
#include "deepspeed/ops/huge_pages.h"

namespace deepspeed::optim {

Adam::Adam(std::vector<ParamGroup> groups, bool decoupled_weight_decay, std::string type)
    : Optimizer(std::move(groups)), decoupled_weight_decay_(decoupled_weight_decay), type_(std::move(type)) {
  for (const ParamGroup& group : this->groups()) moments_.emplace_back(group.pieces.size());
}

// Made on first use, so that a program reaches its first forward without having touched 8 B an element.
const Adam::Moments& Adam::moments(size_t group, size_t piece) {
  const at::Tensor& param = piece_at(group, piece).param;
  Moments& m = moments_[group][piece];
  if (!m.exp_avg.defined()) {
    m.exp_avg = ops::empty_huge(param.sizes(), at::kFloat).zero_();
    m.exp_avg_sq = ops::empty_huge(param.sizes(), at::kFloat).zero_();
  }
  return m;
}

PieceState Adam::piece_state(size_t group, size_t piece) {
  const Moments& m = moments(group, piece);
  return {{"exp_avg", m.exp_avg}, {"exp_avg_sq", m.exp_avg_sq}};
}

void Adam::update(size_t group, size_t piece, double grad_scale) {
  const ParamGroup& g = groups()[group];
  const Piece& p = piece_at(group, piece);
  const Moments& m = moments(group, piece);
  ops::AdamArgs args{.lr = g.lr,
                     .beta1 = g.betas[0],
                     .beta2 = g.betas[1],
                     .eps = g.eps,
                     .weight_decay = g.weight_decay,
                     .step = step_count(),
                     .adamw = decoupled_weight_decay_,
                     .bias_correction = g.bias_correction,
                     .grad_scale = grad_scale};
  ops::adam_step(p.param, p.grad, m.exp_avg, m.exp_avg_sq, args, p.low_precision_copy);
}

}  // namespace deepspeed::optim
