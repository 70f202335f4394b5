// Learning-rate schedules of DeepSpeed's runtime/lr_schedules.py (contract 2.11).
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "deepspeed/optim/config.h"
#include "deepspeed/optim/optimizer.h"

namespace deepspeed::optim {

/// A function from the iteration i (-1 before the first step()) to one learning rate a group, written into
/// the optimizer's groups when the schedule is made, stepped or loaded. The optimizer must outlive it.
class LrScheduler {
 public:
  virtual ~LrScheduler() = default;
  LrScheduler(const LrScheduler&) = delete;
  LrScheduler& operator=(const LrScheduler&) = delete;

  /// i += 1, then writes the rates (and, for OneCycle with momentum cycling, the betas). Call after each
  /// applied optimizer step, not after a skipped one.
  void step();
  /// The rates of the current i, one a group. Before the first step(): what construction wrote.
  std::vector<double> get_lr() const { return rates(iteration_); }
  virtual std::string type() const = 0;

  /// {"last_batch_iteration": i}
  std::map<std::string, double> state_dict() const;
  /// Sets i and writes the rates that belong to it, so that training goes on exactly as if it had not
  /// stopped.
  void load_state_dict(const std::map<std::string, double>& state);

 protected:
  explicit LrScheduler(Optimizer& optimizer) : optimizer_(optimizer) {}
  /// What the schedule is, for any i >= -1: a pure function.
  virtual std::vector<double> rates(int64_t iteration) const = 0;
  /// Betas a group; empty where the schedule leaves them alone.
  virtual std::vector<std::array<double, 2>> betas(int64_t iteration) const { return {}; }
  /// One value a group: a single value is repeated, an empty list stands for each group's own rate.
  std::vector<double> per_group(const PerGroup& values, const char* key) const;

  Optimizer& optimizer_;

 private:
  friend std::unique_ptr<LrScheduler> make_scheduler(const SchedulerConfig& config, Optimizer& optimizer);
  void write();
  int64_t iteration_ = -1;
};

/// LRRangeTest, OneCycle, WarmupLR, WarmupDecayLR or WarmupCosineLR by `scheduler.type`; anything else is a
/// base::Error. Writes the starting rates into the groups at once, as DeepSpeed does: min_lr (WarmupLR,
/// LRRangeTest), cycle_min_lr (OneCycle, and cycle_min_mom, 0.99 into betas) or 0 (WarmupCosineLR). The first
/// step() of a logarithmic warm-up gives the starting rate once more, because ln(1) = 0.
std::unique_ptr<LrScheduler> make_scheduler(const SchedulerConfig& config, Optimizer& optimizer);

}  // namespace deepspeed::optim
