// The 1-cycle policy (Smith 2018, arXiv:1803.09820): up, down, decay, with the momentum going the other way.
#pragma once

#include "deepspeed/optim/scheduler.h"

namespace deepspeed::optim {

/// With n = i+1, a and b the lengths of the two halves: for i < a+b the scale s is n/a going up and
/// (a+b-n)/b going down, held on steps of 1/count where a stair count is given;
///   lr = min + (max-min)*s,  betas = {max_mom - (max_mom-min_mom)*s, 0.99}
/// and after that, with d = i-(a+b)+1 steps of decay in units of decay_step_size,
///   lr = min / (1 + rate*d),  betas[0] = max_mom * (1 + mom_rate*d);  no decay where the unit or the rate is
///   0.
/// Before the first step: {min, {min_mom, 0.99}}. Momentum is left alone, with a warning, for rules without
/// betas.
class OneCycle : public LrScheduler {
 public:
  OneCycle(const OneCycleConfig& config, Optimizer& optimizer);
  std::string type() const override { return "OneCycle"; }

 protected:
  std::vector<double> rates(int64_t iteration) const override;
  std::vector<std::array<double, 2>> betas(int64_t iteration) const override;

 private:
  bool in_cycle(int64_t iteration) const { return static_cast<double>(iteration) < first_ + second_; }
  double scale(int64_t iteration) const;
  double stair(double n, double count) const;
  double decay(int64_t iteration, double rate) const;

  OneCycleConfig config_;
  double first_, second_;
  int64_t first_stairs_, second_stairs_;
  bool cycle_momentum_;
};

}  // namespace deepspeed::optim
