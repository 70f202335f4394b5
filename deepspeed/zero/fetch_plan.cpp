#include "deepspeed/zero/fetch_plan.h"

#include <algorithm>
#include <limits>

#include "deepspeed/base/error.h"

namespace deepspeed::zero {
namespace {

constexpr size_t kNever = std::numeric_limits<size_t>::max();

// Walks through a step as it will be executed.
class Planner {
 public:
  Planner(const FetchUnits& units, const std::vector<int64_t>& numel, const std::vector<FetchEvent>& events,
          const FetchLimits& limits)
      : units_(units),
        numel_(numel),
        events_(events),
        limits_(limits),
        here_(numel.size(), 0),
        ahead_(numel.size(), 0),
        held_(numel.size(), 0),
        uses_(numel.size()) {
    for (size_t i = 0; i < events.size(); ++i) {
      passed_.push_back(i == 0 ? 0 : passed_.back() + elements_of(i - 1));
      if (!events[i].acquires) continue;
      for (const size_t p : units[events[i].unit]) uses_[p].push_back(i);
    }
  }

  std::vector<FetchStep> run() {
    std::vector<FetchStep> steps(events_.size());
    for (size_t i = 0; i < events_.size(); ++i)
      events_[i].acquires ? acquire(i, steps[i]) : release(i, steps[i]);
    return steps;
  }

 private:
  int64_t elements_of(size_t event) const {
    int64_t sum = 0;
    if (events_[event].acquires)
      for (const size_t p : units_[events_[event].unit]) sum += numel_[p];
    return sum;
  }

  size_t next_use(size_t param, size_t after) const {
    const auto use = std::upper_bound(uses_[param].begin(), uses_[param].end(), after);
    return use == uses_[param].end() ? kNever : *use;
  }

  void fetch(size_t param, FetchStep& step) {
    here_[param] = 1;
    live_ += numel_[param];
    step.fetch.push_back(param);
  }

  void let_go(size_t param, FetchStep& step) {
    here_[param] = 0;
    live_ -= numel_[param];
    if (std::exchange(ahead_[param], 0)) prefetched_ -= numel_[param];
    step.release.push_back(param);
  }

  // Room for `wanted` elements, taken from what is used last.
  void make_room(size_t event, int64_t wanted, FetchStep& step) {
    while (live_ + wanted > limits_.max_live) {
      size_t last = kNever, when = event;
      for (size_t p = 0; p < numel_.size(); ++p) {
        if (!here_[p] || held_[p] > 0 || needed(p, event)) continue;
        const size_t use = next_use(p, event);
        if (last == kNever || use > when) last = p, when = use;
      }
      if (last == kNever) return;
      let_go(last, step);
    }
  }

  bool needed(size_t param, size_t event) const {
    const auto& unit = units_[events_[event].unit];
    return std::find(unit.begin(), unit.end(), param) != unit.end();
  }

  void acquire(size_t event, FetchStep& step) {
    const auto& unit = units_[events_[event].unit];
    int64_t missing = 0;
    for (const size_t p : unit) missing += here_[p] ? 0 : numel_[p];
    if (missing > 0) make_room(event, missing, step);
    for (const size_t p : unit) {
      if (!here_[p]) fetch(p, step);
      if (std::exchange(ahead_[p], 0)) prefetched_ -= numel_[p];
      ++held_[p];
    }
    prefetch(event, step);
  }

  void prefetch(size_t event, FetchStep& step) {
    for (size_t i = event + 1; i < events_.size(); ++i) {
      if (!events_[i].acquires) continue;
      for (const size_t p : units_[events_[i].unit]) {
        if (here_[p]) continue;
        if (prefetched_ + numel_[p] > limits_.prefetch || live_ + numel_[p] > limits_.max_live) return;
        fetch(p, step);
        ahead_[p] = 1;
        prefetched_ += numel_[p];
      }
    }
  }

  void release(size_t event, FetchStep& step) {
    for (const size_t p : units_[events_[event].unit]) {
      DS_CHECK(held_[p] > 0, "a Block is released that was not acquired");
      if (--held_[p] > 0 || keeps(p, event)) continue;
      let_go(p, step);
    }
  }

  bool keeps(size_t param, size_t event) const {
    const size_t use = next_use(param, event);
    return use != kNever && passed_[use] - passed_[event] < limits_.max_reuse_distance &&
           live_ <= limits_.max_live;
  }

  const FetchUnits& units_;
  const std::vector<int64_t>& numel_;
  const std::vector<FetchEvent>& events_;
  const FetchLimits& limits_;
  std::vector<char> here_;                 // gathered, or on the way
  std::vector<char> ahead_;                // gathered ahead of its use
  std::vector<int> held_;                  // units in use that need it
  std::vector<std::vector<size_t>> uses_;  // acquiring events, by parameter
  std::vector<int64_t> passed_;            // elements acquired before each event
  int64_t live_ = 0, prefetched_ = 0;
};

}  // namespace

std::vector<FetchStep> plan_fetches(const FetchUnits& units, const std::vector<int64_t>& numel,
                                    const std::vector<FetchEvent>& events, const FetchLimits& limits) {
  return Planner(units, numel, events, limits).run();
}

}  // namespace deepspeed::zero
