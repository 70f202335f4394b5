// Every placement of ZeRO's states, for tests which show that none of them changes anything.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>

#include "tests/engine/tiny.h"

namespace deepspeed::engine {

struct Placing {
  int stage = 0;
  const char* optimizer = "none";
  double ratio = 1;
  const char* parameter = "none";
};

inline std::string name_of(const Placing& p) {
  return fmt::format("stage {}, optimizer on {} (ratio {}), parameters on {}", p.stage, p.optimizer, p.ratio,
                     p.parameter);
}

inline std::vector<Placing> all_placings() {
  std::vector<Placing> all;
  for (const char* device : {"none", "cpu", "nvme"})
    for (int stage : {0, 1, 2}) all.push_back({.stage = stage, .optimizer = device});
  for (const char* parameter : {"none", "cpu", "nvme"}) {
    all.push_back({.stage = 3, .parameter = parameter});
    for (const char* device : {"cpu", "nvme"})
      for (double ratio : {0.0, 0.3, 1.0}) all.push_back({3, device, ratio, parameter});
  }
  return all;
}

/// A folder for the run's disk, and configurations that use it.
class Placings : public testing::Test {
 protected:
  void SetUp() override {
    folder = std::filesystem::temp_directory_path() / ("ds_placings_" + std::to_string(::getpid()));
    std::filesystem::remove_all(folder);
  }
  void TearDown() override { std::filesystem::remove_all(folder); }

  /// The block of a placement. Tiles of 700 elements cut parameters, and hold several of the small ones.
  std::string zero_block(const Placing& placing, const std::string& keys = "") const {
    return fmt::format(
        R"("zero_optimization": {{"stage": {}, "sub_group_size": 700, "reduce_bucket_size": 3000,
        "stage3_param_persistence_threshold": 30, "offload_param": {{"device": "{}", "nvme_path": "{}", "max_in_cpu": 1500, "buffer_count": 3}},
        "offload_optimizer": {{"device": "{}", "nvme_path": "{}", "ratio": {},
                               "pipeline_read": true, "pipeline_write": true}}{}}})",
        placing.stage, placing.parameter, (folder / "nvme").string(), placing.optimizer,
        (folder / "nvme").string(), placing.ratio, keys);
  }

  std::filesystem::path folder;
};

}  // namespace deepspeed::engine
