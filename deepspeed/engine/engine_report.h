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

  /// Where memory_breakdown is on, rank 0 says `where` and how much memory is in use.
  void memory(const char* where) const;
  /// The same when it goes.
  class MemoryAfter {
   public:
    MemoryAfter(const EngineReport& report, const char* where) : report_(report), where_(where) {}
    ~MemoryAfter() { report_.memory(where_); }
    MemoryAfter(const MemoryAfter&) = delete;
    MemoryAfter& operator=(const MemoryAfter&) = delete;

   private:
    const EngineReport& report_;
    const char* where_;
  };
  /// Rank 0 says what an object holds, a line an attribute in alphabetical order.
  void dump(const std::string& name, std::vector<std::pair<std::string, std::string>> attributes) const;

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
  bool first_rank_, says_memory_;
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
