// Adam and AdamW on pieces: ops::adam_step with moments beside every piece.
#pragma once

#include "deepspeed/ops/adam.h"
#include "deepspeed/optim/optimizer.h"

namespace deepspeed::optim {

/// DeepSpeed's FusedAdam (ops/adam/fused_adam.py): moments in the format of what is updated, zero at the
/// start and made when first used; the arithmetic is fp32, 16-bit results are rounded to nearest. The step
/// that bias correction sees is step_count() of the whole optimizer.
class Adam : public Optimizer {
 public:
  Adam(std::vector<ParamGroup> groups, bool decoupled_weight_decay, std::string type);
  PieceState piece_state(size_t group, size_t piece) override;
  std::string type() const override { return type_; }
  bool has_betas() const override { return true; }

 protected:
  void update(size_t group, size_t piece, double grad_scale) override;

 private:
  struct Moments {
    at::Tensor exp_avg, exp_avg_sq;
  };
  const Moments& moments(size_t group, size_t piece);
  void update_in_16_bits(const Piece& piece, const Moments& moments, const ops::AdamArgs& args);

  bool decoupled_weight_decay_;
  std::string type_;
  std::vector<std::vector<Moments>> moments_;  // [group][piece]
};

}  // namespace deepspeed::optim
