// Tests that go through every combination of settings take minutes; the fast suite takes some of the
// combinations,
// ./dev test --full (and CI) all of them.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "deepspeed/base/env.h"

namespace deepspeed::testing_support {

inline bool full_run() { return base::env("DS_TEST_FULL").has_value(); }

/// In a full run all of `combinations`, else the first, the last and every `step`-th between.
template <class T>
std::vector<T> some_of(std::vector<T> combinations, size_t step) {
  if (full_run()) return combinations;
  std::vector<T> some;
  for (size_t i = 0; i < combinations.size(); ++i)
    if (i % step == 0 || i + 1 == combinations.size()) some.push_back(combinations[i]);
  return some;
}

}  // namespace deepspeed::testing_support
