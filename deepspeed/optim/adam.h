// Adam and AdamW on pieces: ops::adam_step with moments beside every piece.
#pragma once

#include "deepspeed/optim/optimizer.h"

namespace deepspeed::optim {

/// DeepSpeed's FusedAdam (ops/adam/fused_adam.py) with fp32 moments, 8 B an element, zero at the start and
/// made when first used. The step that bias correction sees is step_count() of the whole optimizer.
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

  bool decoupled_weight_decay_;
  std::string type_;
  std::vector<std::vector<Moments>> moments_;  // [group][piece]
};

}  // namespace deepspeed::optim
