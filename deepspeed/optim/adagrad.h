// Adagrad on pieces: ops::adagrad_step with the sum of squares beside every piece.
#pragma once

#include "deepspeed/ops/update.h"
#include "deepspeed/optim/stateful_optimizer.h"

namespace deepspeed::optim {

/// torch.optim.Adagrad and DeepSpeedCPUAdagrad (ops/adagrad/cpu_adagrad.py). State: "sum", as torch names it,
/// with either order, so that a run may go on with or without offload. The step that the rate's decay sees is
/// step_count() of the whole optimizer.
class Adagrad : public StatefulOptimizer {
 public:
  struct Options {
    ops::UpdateOrder order = ops::UpdateOrder::kFused;
    bool fp32_states = false;  // the sum in fp32, also of a 16-bit piece
    double lr_decay = 0, initial_accumulator_value = 0;
  };
  Adagrad(std::vector<ParamGroup> groups, const Options& options);
  std::string type() const override { return "adagrad"; }
  bool has_betas() const override { return false; }

 protected:
  void update(size_t group, size_t piece, double grad_scale) override;

 private:
  Options options_;
};

}  // namespace deepspeed::optim
