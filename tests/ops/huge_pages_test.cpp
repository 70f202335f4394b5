#include "deepspeed/ops/huge_pages.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "deepspeed/accel/memory.h"

namespace deepspeed::ops {
namespace {

constexpr int64_t kFloats = int64_t{1} << 20;

TEST(HugePages, BeginAtAPageWhereTheBufferIsLargeEnough) {
  EXPECT_EQ(reinterpret_cast<uintptr_t>(empty_huge({kFloats}, at::kFloat).data_ptr()) % (2 << 20), 0u);
  EXPECT_EQ(empty_huge({3, 5}, at::kBFloat16).sizes(), at::IntArrayRef({3, 5}));
}

TEST(HugePages, FreedBuffersServeTheNextOfTheirSizeWhereFreedMemoryIsKept) {
  accel::keep_freed_memory();
  at::Tensor first = empty_huge({kFloats}, at::kFloat), second = empty_huge({kFloats}, at::kFloat);
  const void *a = first.data_ptr(), *b = second.data_ptr();
  EXPECT_NE(a, b);
  first.reset();
  EXPECT_NE(empty_huge({2 * kFloats}, at::kFloat).data_ptr(), a);
  EXPECT_EQ(empty_huge({2, kFloats / 2}, at::kFloat).data_ptr(), a);
}

TEST(HugePages, BuffersBeyondWhatIsKeptAreFreed) {
  accel::keep_freed_memory();
  for (int round = 0; round < 3; ++round) {
    std::vector<at::Tensor> many;
    for (int i = 0; i < 5; ++i)
      many.push_back(empty_huge({kFloats * 24}, at::kFloat));  // 96 MB each, untouched
    for (const auto& t : many) t.data_ptr<float>()[0] = 1;
  }
  EXPECT_LT(accel::resident_bytes(), int64_t{2} << 30);
}

// As in a step: one that is used all along, others within, together more than is kept.
TEST(HugePages, MemoryDoesNotGrowWhenBuffersOfSeveralSizesComeAndGo) {
  accel::keep_freed_memory();
  int64_t after_two = 0;
  for (int step = 0; step < 8; ++step) {
    const at::Tensor bucket = empty_huge({kFloats * 90}, at::kFloat).fill_(1);
    for (int64_t megabytes : {100, 300}) empty_huge({kFloats * megabytes / 4}, at::kFloat).fill_(1);
    at::empty({kFloats * 3}, at::kFloat).fill_(1);
    if (step == 1) after_two = accel::peak_resident_bytes();
  }
  EXPECT_LT(accel::peak_resident_bytes(), after_two + (int64_t{64} << 20));
}

}  // namespace
}  // namespace deepspeed::ops
