// goldens/goldens.json and an optimizer to hang schedules on.
#pragma once

#include <ATen/ATen.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "deepspeed/optim/optimizer.h"

namespace deepspeed::optim::testing {

inline const nlohmann::json& goldens() {
  static const nlohmann::json all =
      nlohmann::json::parse(std::ifstream(DS_SOURCE_DIR "/tests/optim/goldens/goldens.json"));
  return all;
}

/// A group of one piece of n elements with a zero gradient.
inline ParamGroup group_of(int64_t n, const std::string& name, double lr = 1e-3) {
  ParamGroup group;
  group.lr = lr;
  group.pieces.push_back({name, at::zeros({n}), at::zeros({n}), {}});
  return group;
}

inline OptimizerConfig adam_config(OptimizerType type = OptimizerType::kAdam) {
  OptimizerConfig config;
  config.type = type;
  return config;
}

}  // namespace deepspeed::optim::testing
