#include "deepspeed/optim/adam.h"

#include <ATen/ops/empty.h>

#include <algorithm>

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
    m.exp_avg = ops::empty_huge(param.sizes(), param.scalar_type()).zero_();
    m.exp_avg_sq = ops::empty_huge(param.sizes(), param.scalar_type()).zero_();
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
  if (p.param.scalar_type() == at::kFloat)
    ops::adam_step(p.param, p.grad, m.exp_avg, m.exp_avg_sq, args, p.low_precision_copy);
  else
    update_in_16_bits(p, m, args);
}

// Tile by tile through fp32 buffers that stay in the cache.
void Adam::update_in_16_bits(const Piece& piece, const Moments& moments, const ops::AdamArgs& args) {
  constexpr int64_t kTile = 1 << 14;
  const int64_t count = piece.param.numel();
  const at::Tensor buffer = at::empty({3, std::min(count, kTile)}, at::kFloat);
  for (int64_t first = 0; first < count; first += kTile) {
    const int64_t length = std::min(kTile, count - first);
    const auto part = [&](const at::Tensor& whole) { return whole.narrow(0, first, length); };
    const auto widened = [&](int64_t row, const at::Tensor& whole) {
      return buffer[row].narrow(0, 0, length).copy_(part(whole));
    };
    const at::Tensor param = widened(0, piece.param), exp_avg = widened(1, moments.exp_avg),
                     exp_avg_sq = widened(2, moments.exp_avg_sq);
    ops::adam_step(param, part(piece.grad), exp_avg, exp_avg_sq, args, part(piece.param));
    part(moments.exp_avg).copy_(exp_avg);
    part(moments.exp_avg_sq).copy_(exp_avg_sq);
  }
}

}  // namespace deepspeed::optim
