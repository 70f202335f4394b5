// What an engine tells about its steps: progress lines, timings, monitors. It watches and decides nothing.
// Mirrors _report_progress, _write_monitor and the timers of DeepSpeed's runtime/engine.py.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "deepspeed/engine/config.h"
#include "deepspeed/observe/monitor.h"
#include "deepspeed/observe/step_timers.h"
#include "deepspeed/observe/throughput.h"

namespace deepspeed::engine {

/// Where rank 0's lines go. Empty: progress to the log, timings to standard error.
using PrintLine = std::function<void(const std::string& line)>;

/// An engine's state after an optimizer step.
struct StepState {
  int64_t step = 0, samples = 0, skipped = 0;  // so far
  int64_t batch = 0;                           // samples of this step
  std::vector<double> lr;                      // one a parameter group
  std::vector<std::array<double, 2>> mom;
  std::optional<double> loss_scale;  // under fp16
};

class EngineReport {
 public:
  /// Opens the monitors on rank 0: base::Error when one of them cannot write.
  EngineReport(const DeepspeedConfig& config, int rank, PrintLine print);

  /// Null unless wall_clock_breakdown is on.
  observe::StepTimers* timers() { return timers_ ? &*timers_ : nullptr; }
  /// What the timers held when the last micro-batch ended; empty without timers.
  const std::map<std::string, double>& last_timings() const { return last_timings_; }

  /// The engine is ready: rank 0 says its rates.
  void started(const StepState& state) const;
  void begin_forward() {
    if (throughput_) throughput_->start();
  }
  /// Whether end_micro_batch would use the state of a step.
  bool wants_state() const { return first_rank_ && (steps_per_print_ || monitors_.enabled()); }
  /// A micro-batch's step() is over; `ended` when it was an optimizer step and wants_state().
  void end_micro_batch(bool step_ended, const std::optional<StepState>& ended);

 private:
  void say_progress(const StepState& state) const;
  void say(const std::string& line) const;
  void say_timing(const std::string& line) const;
  std::vector<observe::Event> timing_events(int64_t samples) const;

  std::optional<int64_t> steps_per_print_;
  bool first_rank_;
  // DeepSpeed's dynamic scale starts as an integer and turns into a float when it first changes.
  double first_scale_;
  bool scale_is_whole_;
  PrintLine print_;
  observe::Monitors monitors_;
  std::optional<observe::StepTimers> timers_;
  std::map<std::string, double> last_timings_;
  std::optional<observe::ThroughputTimer> throughput_;
};

}  // namespace deepspeed::engine
