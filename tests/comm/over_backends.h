// Tests that run once over each backend of the CPU: TEST_P of a suite derived from OverBackends.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <string>

#include "deepspeed/comm/ranks.h"

namespace deepspeed::comm {

class OverBackends : public ::testing::TestWithParam<Backend> {};

/// run_ranks over the backend of the test that is running.
inline void run_here(int size, const std::function<void(GroupPtr)>& body) {
  run_ranks(size, body, std::chrono::seconds(60), OverBackends::GetParam());
}

inline const auto kCpuBackends = ::testing::Values(Backend::kGloo, Backend::kShm);

inline std::string backend_name(const ::testing::TestParamInfo<Backend>& info) {
  return info.param == Backend::kShm ? "Shm" : "Gloo";
}

}  // namespace deepspeed::comm
