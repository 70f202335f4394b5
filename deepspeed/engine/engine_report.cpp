#include "deepspeed/engine/engine_report.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "deepspeed/accel/memory.h"
#include "deepspeed/base/log.h"
#include "deepspeed/observe/memory_lines.h"
#include "deepspeed/observe/python_text.h"

namespace deepspeed::engine {
namespace {

using observe::Event;
using observe::Phase;

std::string listed(const std::vector<std::string>& items) {
  return fmt::format("[{}]", fmt::join(items, ", "));
}

}  // namespace

EngineReport::EngineReport(const DeepspeedConfig& config, int rank, PrintLine print)
    : steps_per_print_(config.engine.steps_per_print),
      first_rank_(rank == 0),
      says_memory_(first_rank_ && config.observe.memory_breakdown),
      first_scale_(std::exp2(config.fp16.initial_scale_power)),
      scale_is_whole_(config.fp16.enabled && config.fp16.loss_scale == 0),
      print_(std::move(print)) {
  if (config.observe.wall_clock_breakdown) timers_.emplace();
  if (!first_rank_) return;
  monitors_ = observe::Monitors(config.observe);
  if (steps_per_print_ && config.observe.throughput.enabled) throughput_.emplace();
}

void EngineReport::started(const StepState& state) const {
  if (first_rank_ && steps_per_print_) say_progress(state);
}

void EngineReport::memory(const char* where) const {
  if (!says_memory_) return;
  for (const std::string& line : observe::memory_lines(where, {.resident = accel::resident_bytes(),
                                                              .peak = accel::peak_resident_bytes(),
                                                              .total = accel::physical_memory_bytes(),
                                                              .available = accel::available_memory_bytes()}))
    if (print_)
      print_(line);
    else
      std::fputs((line + "\n").c_str(), stderr);
}

// As print_configuration of DeepSpeed's utils/logging.py.
void EngineReport::dump(const std::string& name,
                        std::vector<std::pair<std::string, std::string>> attributes) const {
  if (!first_rank_) return;
  say(name + ":");
  std::sort(attributes.begin(), attributes.end());
  for (const auto& [key, value] : attributes) {
    const std::string dots(key.size() < 29 ? 29 - key.size() : 0, '.');
    say(fmt::format("  {} {} {}", key, dots, value));
  }
}

void EngineReport::say_progress(const StepState& state) const {
  std::vector<std::string> lr, mom;
  for (const double rate : state.lr) lr.push_back(observe::python_float(rate));
  for (const auto& [first, second] : state.mom)
    mom.push_back(fmt::format("({}, {})", observe::python_float(first), observe::python_float(second)));
  const std::string line =
      fmt::format("step={}, skipped={}, lr={}, mom={}", state.step, state.skipped, listed(lr), listed(mom));
  say(line);
}

void EngineReport::say(const std::string& line) const {
  if (base::log_level() > base::LogLevel::kInfo) return;
  if (print_)
    print_(line);
  else
    base::log_info("{}", line);
}

// DeepSpeed prints timings whatever the log level is: whoever switches them on wants them.
void EngineReport::say_timing(const std::string& line) const {
  if (!first_rank_) return;
  if (print_)
    print_(line);
  else
    std::fputs(("[Rank 0] " + line + "\n").c_str(), stderr);
}

void EngineReport::end_micro_batch(bool step_ended, const std::optional<StepState>& state) {
  const bool prints = state && steps_per_print_ && state->step % *steps_per_print_ == 0;
  if (prints) say_progress(*state);
  if (throughput_) {
    throughput_->stop(step_ended, state ? state->batch : 0);
    if (step_ended && throughput_->steps() % *steps_per_print_ == 0)
      if (const auto line = throughput_->line(accel::resident_bytes(), accel::peak_resident_bytes()))
        say(*line);
  }
  if (state && monitors_.enabled()) {
    std::vector<Event> events = {{"Train/Samples/lr", state->lr.at(0), state->samples}};
    if (state->loss_scale) {
      scale_is_whole_ = scale_is_whole_ && *state->loss_scale == first_scale_;
      events.push_back({"Train/Samples/loss_scale", *state->loss_scale, state->samples, scale_is_whole_});
    }
    monitors_.write(events);
  }
  if (!timers_) return;
  last_timings_ = timers_->all();
  say_timing(timers_->take_micro_line());
  if (!step_ended) return;
  if (state && monitors_.enabled()) monitors_.write(timing_events(state->samples));
  say_timing(timers_->take_step_line());
}

std::vector<Event> EngineReport::timing_events(int64_t samples) const {
  constexpr std::pair<const char*, Phase> kNames[] = {{"forward", Phase::kForward},
                                                      {"backward", Phase::kBackward},
                                                      {"backward_inner", Phase::kBackwardInner},
                                                      {"backward_allreduce", Phase::kBackwardReduce},
                                                      {"step", Phase::kStep}};
  std::vector<Event> events;
  for (const auto& [name, phase] : kNames)
    events.push_back(
        {fmt::format("Train/Samples/elapsed_time_ms_{}", name), timers_->step_ms(phase), samples});
  return events;
}

}  // namespace deepspeed::engine
