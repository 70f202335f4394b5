// Adam and AdamW on pieces: ops::adam_step with moments beside every piece.
#pragma once

#include "deepspeed/ops/update.h"
#include "deepspeed/optim/stateful_optimizer.h"

namespace deepspeed::optim {

/// DeepSpeed's FusedAdam (ops/adam/fused_adam.py) and DeepSpeedCPUAdam (ops/adam/cpu_adam.py). States:
/// "exp_avg", "exp_avg_sq". The step that bias correction sees is step_count() of the whole optimizer.
class Adam : public StatefulOptimizer {
 public:
  struct Options {
    bool decoupled_weight_decay = true;
    std::string type = "adam";
    ops::UpdateOrder order = ops::UpdateOrder::kCpu;
    bool fp32_states = false;  // moments in fp32, also of a 16-bit piece
  };
  Adam(std::vector<ParamGroup> groups, Options options);
  std::string type() const override { return options_.type; }
  bool has_betas() const override { return true; }

 protected:
  void update(size_t group, size_t piece, double grad_scale) override;

 private:
  Options options_;
};

}  // namespace deepspeed::optim
