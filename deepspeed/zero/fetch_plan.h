// When stage 3 gathers parameters and lets them go: a pure function of the order in which a step uses them.
// Source: DeepSpeed's runtime/zero/partitioned_param_coordinator.py.
#pragma once

#include <cstdint>
#include <vector>

namespace deepspeed::zero {

/// A unit is what one Block needs, by the parameters' numbers; a tied parameter is in several.
using FetchUnits = std::vector<std::vector<size_t>>;

/// A Block starts (acquires) or ends (releases) its forward or backward.
struct FetchEvent {
  size_t unit = 0;
  bool acquires = true;
  bool operator==(const FetchEvent&) const = default;
};

/// In elements.
struct FetchLimits {
  int64_t prefetch = 50'000'000;     // gathered ahead of their use at once
  int64_t max_live = 1'000'000'000;  // gathered at once; what a Block needs is gathered all the same
  int64_t max_reuse_distance = 1'000'000'000;  // kept if used again before so many others
};

/// What is done at an event: parameters that are let go, then those whose gather starts, in this order. At an
/// acquiring event the gathers of the unit's own parameters are finished thereafter.
struct FetchStep {
  std::vector<size_t> release, fetch;
};

/// One step for each event. Every parameter is here between the events that acquire and release a unit that
/// needs it, and none is left at the end. `numel` is by parameter. Every release event must have its
/// acquiring one before it.
std::vector<FetchStep> plan_fetches(const FetchUnits& units, const std::vector<int64_t>& numel,
                                    const std::vector<FetchEvent>& events, const FetchLimits& limits);

}  // namespace deepspeed::zero
