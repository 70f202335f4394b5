// Lion on pieces: ops::lion_step with the moment beside every piece.
#pragma once

#include "deepspeed/ops/update.h"
#include "deepspeed/optim/stateful_optimizer.h"

namespace deepspeed::optim {

/// DeepSpeed's FusedLion (ops/lion/fused_lion.py) and DeepSpeedCPULion (ops/lion/cpu_lion.py). State:
/// "exp_avg"; DeepSpeedCPULion's "exp_avg_sq", which nothing reads, is left out.
class Lion : public StatefulOptimizer {
 public:
  struct Options {
    ops::UpdateOrder order = ops::UpdateOrder::kFused;
    bool fp32_states = false;  // the moment in fp32, also of a 16-bit piece
  };
  Lion(std::vector<ParamGroup> groups, const Options& options);
  std::string type() const override { return "lion"; }
  bool has_betas() const override { return true; }

 protected:
  void update(size_t group, size_t piece, double grad_scale) override;

 private:
  Options options_;
};

}  // namespace deepspeed::optim
