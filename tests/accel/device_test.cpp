#include "deepspeed/accel/device.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>

#include "deepspeed/base/env.h"
#include "deepspeed/base/error.h"

namespace deepspeed::accel {
namespace {

using testing::HasSubstr;

// What DS_ACCELERATOR=name gives, as text.
std::string chosen(const char* name, int local_rank = 0) {
  if (name == nullptr)
    ::unsetenv("DS_ACCELERATOR");
  else
    base::set_env("DS_ACCELERATOR", name);
  try {
    return device_of_rank(local_rank).str();
  } catch (const base::Error& error) {
    return error.what();
  }
}

TEST(Device, TheAcceleratorIsWhatTheEnvironmentSays) {
  EXPECT_EQ(chosen("cpu"), "cpu");
  EXPECT_EQ(chosen("cpu", 7), "cpu");
  EXPECT_THAT(chosen("tpu"), HasSubstr("DS_ACCELERATOR='tpu' is not an accelerator here"));
  if (device_count() == 0) {
    EXPECT_EQ(chosen(nullptr), "cpu");
    EXPECT_THAT(chosen("cuda"),
                testing::AnyOf(HasSubstr("in a build without CUDA"), HasSubstr("sees no GPU")));
  } else {
    EXPECT_EQ(chosen(nullptr), "cuda:0");
    EXPECT_EQ(chosen("cuda"), "cuda:0");
    EXPECT_THAT(chosen("cuda", 1000), HasSubstr("local rank 1000 has no GPU of its own"));
  }
  ::unsetenv("DS_ACCELERATOR");
}

TEST(Device, TheCpuHasNoDeviceMemoryAndIsNeverWaitedFor) {
  EXPECT_EQ(peak_device_bytes(at::kCPU), 0);
  synchronize(at::kCPU);
}

}  // namespace
}  // namespace deepspeed::accel
