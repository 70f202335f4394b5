// The three schedules that start with a warm-up (DeepSpeed runtime/lr_schedules.py).
//
// With i the iteration, N = max(2, warmup_num_steps), T = total_num_steps, the warm-up's growth is
//   g(i) = ln(i+1)/ln(N) (log) or i/N (linear) for 0 <= i < N
#pragma once

#include "deepspeed/optim/scheduler.h"

namespace deepspeed::optim {

/// N and g(i), shared by the three.
class WarmupGrowth {
 public:
  WarmupGrowth(int64_t warmup_num_steps, WarmupType type);
  int64_t num_steps() const { return num_steps_; }
  bool covers(int64_t iteration) const { return iteration < num_steps_; }
  double at(int64_t iteration) const;

 private:
  int64_t num_steps_;
  WarmupType type_;
  double inverse_log_;
};

/// min + (max - min) * g; after the warm-up max. min before the first step.
class WarmupLr : public LrScheduler {
 public:
  WarmupLr(const WarmupLrConfig& config, Optimizer& optimizer);
  std::string type() const override { return "WarmupLR"; }

 protected:
  std::vector<double> rates(int64_t iteration) const override;
  /// What the warm-up's growth is followed by.
  virtual double after_warmup(int64_t iteration) const { return 1; }

  std::vector<double> min_, max_;
  WarmupGrowth growth_;
};

/// WarmupLr, then a straight line to min at T: growth max(0, (T-i)/max(1, T-N)).
class WarmupDecayLr : public WarmupLr {
 public:
  WarmupDecayLr(const WarmupDecayLrConfig& config, Optimizer& optimizer);
  std::string type() const override { return "WarmupDecayLR"; }

 protected:
  double after_warmup(int64_t iteration) const override;

 private:
  int64_t total_num_steps_;
};

/// A ratio of each group's own rate at construction: r0 + (1-r0)*g, then c + (1-c)*(1+cos(pi*p))/2 with
/// p = min(1, (i-N+1)/max(1, T-N)). 0 before the first step.
class WarmupCosineLr : public LrScheduler {
 public:
  WarmupCosineLr(const WarmupCosineLrConfig& config, Optimizer& optimizer);
  std::string type() const override { return "WarmupCosineLR"; }

 protected:
  std::vector<double> rates(int64_t iteration) const override;

 private:
  double ratio(int64_t iteration) const;
  WarmupCosineLrConfig config_;
  WarmupGrowth growth_;
  std::vector<double> own_;
};

}  // namespace deepspeed::optim
