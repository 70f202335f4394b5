#include "deepspeed/observe/step_timers.h"

#include <fmt/format.h>

#include <utility>

namespace deepspeed::observe {
namespace {

constexpr std::array<const char*, kPhases> kNames = {"fwd", "bwd", "bwd_inner", "bwd_allreduce", "step"};
constexpr const char* kMicro = "_microstep";

double milliseconds(std::chrono::steady_clock::duration time) {
  return std::chrono::duration<double, std::milli>(time).count();
}

}  // namespace

void StepTimers::start(Phase phase) {
  Timer& timer = timers_[static_cast<size_t>(phase)];
  timer.running = timer.ever_ran = true;
  timer.started = Clock::now();
}

void StepTimers::stop(Phase phase) {
  Timer& timer = timers_[static_cast<size_t>(phase)];
  if (!std::exchange(timer.running, false)) return;
  const auto time = Clock::now() - timer.started;
  timer.micro += time;
  timer.step += time;
}

template <class Member>
std::string StepTimers::take_line(Member sum, const char* suffix) {
  std::string line = "time (ms)";
  for (size_t i = 0; i < timers_.size(); ++i)
    if (timers_[i].ever_ran)
      line +=
          fmt::format(" | {}{}: {:.2f}", kNames[i], suffix, milliseconds(std::exchange(timers_[i].*sum, {})));
  return line;
}

std::string StepTimers::take_micro_line() { return take_line(&Timer::micro, kMicro); }
std::string StepTimers::take_step_line() { return take_line(&Timer::step, ""); }

double StepTimers::step_ms(Phase phase) const {
  return milliseconds(timers_[static_cast<size_t>(phase)].step);
}

std::map<std::string, double> StepTimers::all() const {
  std::map<std::string, double> out;
  for (size_t i = 0; i < timers_.size(); ++i) {
    out[std::string(kNames[i]) + kMicro] = milliseconds(timers_[i].micro);
    out[kNames[i]] = milliseconds(timers_[i].step);
  }
  return out;
}

}  // namespace deepspeed::observe
