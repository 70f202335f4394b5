// Copies between a GPU and page-locked memory beside what the GPU computes.
#include "deepspeed/zero/host_side.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <chrono>
#include <cstdio>
#include <functional>

#include "deepspeed/accel/device.h"
#include "tests/support/device.h"

namespace deepspeed::zero {
namespace {

const at::Device kGpu(at::kCUDA, 0);
constexpr int64_t kElements = int64_t{1} << 24;

double seconds(const std::function<void()>& action) {
  const auto begin = std::chrono::steady_clock::now();
  action();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

// Keeps the current stream busy for a while.
class Work {
 public:
  Work() { at::mm_out(c_, a_, a_), accel::synchronize(kGpu); }
  void start() {
    for (int i = 0; i < 40; ++i) at::mm_out(c_, a_, a_);
  }

 private:
  at::Tensor a_ = at::randn({8192, 8192}, at::TensorOptions(kGpu)), c_ = at::empty_like(a_);
};

TEST(HostSide, IsThereForOffloadToTheCpuFromADevice) {
  DS_NEEDS_GPU();
  EXPECT_NE(HostSide::where_wanted({.device = Home::kCpu}, kGpu), nullptr);
  EXPECT_EQ(HostSide::where_wanted({.device = Home::kDevice}, kGpu), nullptr);
  EXPECT_TRUE(HostSide::memory(3, at::kBFloat16).is_pinned());
}

TEST(HostSide, IsNotThereOnACpu) {
  EXPECT_EQ(HostSide::where_wanted({.device = Home::kCpu}, at::kCPU), nullptr);
}

TEST(HostSide, FetchesAddsAndGivesBack) {
  DS_NEEDS_GPU();
  HostSide side(kGpu);
  const at::Tensor host = HostSide::memory(kElements, at::kFloat), target = at::zeros({kElements}, kGpu);
  at::Tensor expected = at::zeros({kElements});
  for (const auto type : {at::kFloat, at::kBFloat16}) {
    at::Tensor values = at::randn({kElements}, at::TensorOptions(kGpu)).to(type);
    side.fetch(host, values, /*add=*/false);
    expected = values.cpu().to(at::kFloat);
    values.add_(0);  // freed and reused at once, while it is on its way
    values.reset();
    for (int i = 0; i < 3; ++i) {
      at::Tensor more = at::randn({kElements}, at::TensorOptions(kGpu)).to(type);
      expected = expected + more.cpu().to(at::kFloat);
      side.fetch(host, more, /*add=*/true);
    }
    side.wait();
    EXPECT_TRUE(host.equal(expected)) << c10::toString(type);
    side.give(target, host);
    side.settle();
    EXPECT_TRUE(target.cpu().equal(expected)) << c10::toString(type);
  }
}

TEST(HostSide, CopiesOverlapWithWhatTheDeviceComputes) {
  DS_NEEDS_GPU();
  HostSide side(kGpu);
  Work work;
  const at::Tensor host = HostSide::memory(kElements, at::kFloat), values = at::randn({kElements}, kGpu);
  side.fetch(host, values, false);  // warm
  side.wait();
  accel::synchronize(kGpu);
  double told = 0, fetched = 0;
  const double all = seconds([&] {
    fetched = seconds([&] {
      told = seconds([&] { side.fetch(host, values, false); });
      work.start();  // as backward goes on
      side.wait();
    });
    accel::synchronize(kGpu);
  });
  std::printf("told after %.4f s, fetched after %.4f s, computed after %.4f s\n", told, fetched, all);
  EXPECT_LT(told, all / 10);
  EXPECT_LT(fetched, all / 2);
}

TEST(HostSide, AFetchWaitsForWhatComputesItsValues) {
  DS_NEEDS_GPU();
  HostSide side(kGpu);
  Work work;
  const at::Tensor host = HostSide::memory(kElements, at::kFloat), values = at::zeros({kElements}, kGpu);
  accel::synchronize(kGpu);
  work.start();
  values.fill_(3);
  side.fetch(host, values, false);
  side.wait();
  EXPECT_TRUE(host.eq(3).all().item<bool>());
}

}  // namespace
}  // namespace deepspeed::zero
