// How long the phases of a training step take: wall_clock_breakdown. Mirrors DeepSpeed's utils/timer.py
// (SynchronizedWallClockTimer) and EngineTimers, on the monotonic clock.
#pragma once

#include <array>
#include <chrono>
#include <map>
#include <string>

namespace deepspeed::observe {

enum class Phase { kForward, kBackward, kBackwardInner, kBackwardReduce, kStep };
constexpr int kPhases = 5;

/// Two sums a phase: since the last micro-batch's line and since the last step's. A phase that starts again
/// while it runs starts anew; one that stops without running is ignored.
class StepTimers {
 public:
  void start(Phase phase);
  void stop(Phase phase);
  /// "time (ms) | fwd_microstep: 1.25 | bwd_microstep: ..." of the phases that ever ran; the sums start at
  /// zero again.
  std::string take_micro_line();
  /// The same as "fwd", "bwd", "bwd_inner", "bwd_allreduce", "step".
  std::string take_step_line();
  /// Milliseconds since the last step's line.
  double step_ms(Phase phase) const;
  /// Both sums of every phase by their names in milliseconds (Engine::get_wall_clock_timers of DeepSpeed).
  std::map<std::string, double> all() const;

 private:
  using Clock = std::chrono::steady_clock;
  struct Timer {
    Clock::time_point started;
    Clock::duration micro{}, step{};
    bool running = false, ever_ran = false;
  };
  template <class Member>
  std::string take_line(Member sum, const char* suffix);

  std::array<Timer, kPhases> timers_;
};

/// Times a phase for as long as it lives; null: does nothing.
class PhaseTimer {
 public:
  PhaseTimer(StepTimers* timers, Phase phase) : timers_(timers), phase_(phase) {
    if (timers_ != nullptr) timers_->start(phase_);
  }
  ~PhaseTimer() {
    if (timers_ != nullptr) timers_->stop(phase_);
  }
  PhaseTimer(const PhaseTimer&) = delete;
  PhaseTimer& operator=(const PhaseTimer&) = delete;

 private:
  StepTimers* timers_;
  Phase phase_;
};

}  // namespace deepspeed::observe
