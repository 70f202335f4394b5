// The environment variables that the library and its commands obey, for documentation and reports. Each is
// read in one place, through base/env.h; tests/config holds this list against the sources.
#pragma once

#include <string>
#include <vector>

namespace deepspeed::config {

struct Variable {
  const char* name;
  /// "" where there is none.
  const char* initial;
  const char* doc;
  /// Changes what a training run does, so that a report on its configuration shows it.
  bool of_a_run = false;
};

/// In the order of docs/config.md.
const std::vector<Variable>& variables();

/// Variables of DeepSpeed that mean nothing to this program, and why.
const std::vector<Variable>& variables_without_effect();

}  // namespace deepspeed::config
