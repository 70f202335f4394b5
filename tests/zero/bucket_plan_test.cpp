#include "deepspeed/zero/bucket_plan.h"

#include <gtest/gtest.h>

#include <numeric>
#include <random>

namespace deepspeed::zero {
namespace {

using partition::Layout;
using partition::ParamSize;

TEST(BucketPlan, CoversEveryParameterOnceFromLastToFirstWithinTheSizeLimit) {
  std::mt19937 random(3);
  for (int round = 0; round < 300; ++round) {
    std::vector<ParamSize> params(1 + random() % 20);
    for (auto& p : params) p = {"p", static_cast<int64_t>(random() % 100)};
    const Layout layout = Layout::concatenated(params, 1 + static_cast<int>(random() % 5));
    const int64_t limit = 1 + static_cast<int64_t>(random() % 150);
    size_t next = params.size();
    for (const Bucket& b : plan_buckets(layout, limit)) {
      ASSERT_EQ(b.last_param, next);
      ASSERT_LT(b.first_param, b.last_param);
      ASSERT_EQ(b.begin, layout.flat_offset(b.first_param));
      ASSERT_TRUE(b.end - b.begin <= limit || b.last_param - b.first_param == 1);
      next = b.first_param;
      const auto splits = owner_splits(b, layout);
      ASSERT_EQ(static_cast<int>(splits.size()), layout.world_size());
      ASSERT_EQ(std::accumulate(splits.begin(), splits.end(), int64_t{0}), b.end - b.begin);
    }
    ASSERT_EQ(next, 0u);
  }
}

TEST(BucketPlan, SplitsFollowThePartitionBoundaries) {
  const Layout layout = Layout::concatenated({{"a", 6}, {"b", 10}}, 2);  // shards [0, 8) and [8, 16)
  const auto plan = plan_buckets(layout, 10);
  ASSERT_EQ(plan.size(), 2u);
  EXPECT_EQ(owner_splits(plan[0], layout), (std::vector<int64_t>{2, 8}));
  EXPECT_EQ(owner_splits(plan[1], layout), (std::vector<int64_t>{6, 0}));
}

}  // namespace
}  // namespace deepspeed::zero
