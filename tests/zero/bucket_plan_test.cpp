#include "deepspeed/zero/bucket_plan.h"

#include <gtest/gtest.h>

#include <algorithm>
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
      ASSERT_TRUE(b.numel <= limit || b.last_param - b.first_param == 1);
      next = b.first_param;
      const auto splits = b.splits();
      ASSERT_EQ(static_cast<int>(splits.size()), layout.world_size());
      ASSERT_EQ(std::accumulate(splits.begin(), splits.end(), int64_t{0}), b.numel);
    }
    ASSERT_EQ(next, 0u);
  }
}

TEST(BucketPlan, SplitsFollowThePartitionBoundaries) {
  const Layout layout = Layout::concatenated({{"a", 6}, {"b", 10}}, 2);  // shards [0, 8) and [8, 16)
  const auto plan = plan_buckets(layout, 10);
  ASSERT_EQ(plan.size(), 2u);
  EXPECT_EQ(plan[0].splits(), (std::vector<int64_t>{2, 8}));
  EXPECT_EQ(plan[1].splits(), (std::vector<int64_t>{6, 0}));
}

// What a rank finds in its slice of a bucket is what its pieces of the layout say.
void expect_slices_are_the_owners_pieces(const Layout& layout, const Bucket& bucket) {
  std::vector<std::pair<size_t, int64_t>> content(static_cast<size_t>(bucket.numel), {SIZE_MAX, 0});
  for (size_t p = bucket.first_param; p < bucket.last_param; ++p)
    for (const BucketRun& run : bucket.runs[p - bucket.first_param])
      for (int64_t i = 0; i < run.count; ++i)
        content.at(static_cast<size_t>(run.place + i)) = {p, run.begin + i};
  int64_t gaps = 0;
  for (const BucketRun& gap : bucket.padding) gaps += gap.count;
  ASSERT_EQ(std::count(content.begin(), content.end(), std::pair<size_t, int64_t>{SIZE_MAX, 0}), gaps);
  int64_t place = 0;
  for (int rank = 0; rank < layout.world_size(); ++rank) {
    const auto& slice = bucket.slices[static_cast<size_t>(rank)];
    ASSERT_EQ(slice.place, place);
    place += slice.count;
    for (const auto& piece : layout.pieces(rank)) {
      if (piece.param < bucket.first_param || piece.param >= bucket.last_param) continue;
      for (int64_t i = 0; i < piece.count; ++i) {
        const int64_t at = slice.place + piece.shard_offset + i - slice.shard_offset;
        ASSERT_EQ(content.at(static_cast<size_t>(at)), std::pair(piece.param, piece.begin + i));
      }
    }
  }
}

TEST(BucketPlan, LaysElementsOutSoThatEachOwnersSliceIsARunOfItsShard) {
  std::mt19937 random(5);
  for (int round = 0; round < 200; ++round) {
    std::vector<ParamSize> params(1 + random() % 8);
    for (auto& p : params) p = {"p", static_cast<int64_t>(random() % 20)};
    const int world = 1 + static_cast<int>(random() % 5);
    for (const bool per_parameter : {false, true}) {
      const Layout layout =
          per_parameter ? Layout::per_parameter(params, world) : Layout::concatenated(params, world);
      for (const Bucket& bucket : plan_buckets(layout, 1 + static_cast<int64_t>(random() % 40)))
        expect_slices_are_the_owners_pieces(layout, bucket);
    }
  }
}

}  // namespace
}  // namespace deepspeed::zero
