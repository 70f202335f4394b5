#include "deepspeed/observe/throughput.h"

#include <chrono>
#include <cmath>
#include <utility>

#include "deepspeed/observe/python_text.h"

namespace deepspeed::observe {
namespace {

constexpr int64_t kWarmUpSteps = 2;
constexpr double kEpsilon = 1e-6;  // seconds; DeepSpeed's guard against a division by zero

double monotonic_seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

std::string gigabytes(int64_t bytes) {
  return python_float(std::round(static_cast<double>(bytes) / (1 << 30) * 100) / 100);
}

}  // namespace

ThroughputTimer::ThroughputTimer(Clock clock) : clock_(clock ? std::move(clock) : monotonic_seconds) {}

void ThroughputTimer::start() {
  running_ = true;
  started_.reset();
  if (steps_ >= kWarmUpSteps) started_ = clock_();
}

void ThroughputTimer::stop(bool step_ends, int64_t batch) {
  if (!std::exchange(running_, false)) return;
  ++micro_steps_;
  if (step_ends) ++steps_;
  if (!started_) return;
  const double time = clock_() - *started_;
  total_s_ += time;
  step_s_ += time;
  if (!step_ends) return;
  last_step_s_ = std::exchange(step_s_, 0);
  last_batch_ = batch;
  timed_samples_ += static_cast<double>(batch);
}

std::optional<std::string> ThroughputTimer::line(int64_t resident_bytes, int64_t peak_bytes) const {
  if (last_batch_ == 0) return std::nullopt;
  return "epoch=0/micro_step=" + std::to_string(micro_steps_) + "/global_step=" + std::to_string(steps_) +
         ", RunningAvgSamplesPerSec=" + python_float(timed_samples_ / total_s_) +
         ", CurrSamplesPerSec=" + python_float(static_cast<double>(last_batch_) / (last_step_s_ + kEpsilon)) +
         ", MemAllocated=" + gigabytes(resident_bytes) + "GB, MaxMemAllocated=" + gigabytes(peak_bytes) +
         "GB";
}

}  // namespace deepspeed::observe
