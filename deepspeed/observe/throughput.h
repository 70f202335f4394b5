// Samples a second over a run. Mirrors ThroughputTimer of DeepSpeed's utils/timer.py.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

namespace deepspeed::observe {

/// Counts the time from each start() to the next stop(), but for the first two steps, which warm up.
class ThroughputTimer {
 public:
  /// Seconds of a clock that never goes back; empty: the monotonic one.
  using Clock = std::function<double()>;
  explicit ThroughputTimer(Clock clock = {});

  void start();
  /// After each micro-batch. At the end of a step (`step_ends`, of `batch` samples) the averages move on.
  void stop(bool step_ends, int64_t batch);
  int64_t steps() const { return steps_; }
  /// "epoch=0/micro_step=4/global_step=4, RunningAvgSamplesPerSec=..., CurrSamplesPerSec=...,
  /// MemAllocated=0.5GB, MaxMemAllocated=0.5GB" of the step that ended last; nothing before the third step.
  std::optional<std::string> line(int64_t resident_bytes, int64_t peak_bytes) const;

 private:
  Clock clock_;
  std::optional<double> started_;
  bool running_ = false;
  int64_t micro_steps_ = 0, steps_ = 0;
  double total_s_ = 0, step_s_ = 0, last_step_s_ = 0;
  int64_t last_batch_ = 0;
  double timed_samples_ = 0;
};

}  // namespace deepspeed::observe
