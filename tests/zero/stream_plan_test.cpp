#include "deepspeed/zero/stream_plan.h"

#include <gtest/gtest.h>

#include <random>

#include "deepspeed/base/error.h"

namespace deepspeed::zero {
namespace {

constexpr size_t kPage = 4096;

TEST(PlanReads, RangesAreReadAsWholePagesThatTheyShare) {
  const std::vector<int64_t> files = {1'000'000, 20'000};
  // Two neighbours in the first file, the second given first; one near the other file's end.
  const UnitReads plan = plan_reads({{0, 9000, 5000}, {0, 4100, 4900}, {1, 17'000, 3000}}, files);
  ASSERT_EQ(plan.reads.size(), 2u);
  EXPECT_EQ(plan.reads[0].offset, 4096);
  EXPECT_EQ(plan.reads[0].bytes, 3 * kPage);  // up to 16384, where 14000 lies in the last page
  EXPECT_EQ(plan.reads[0].place, 0u);
  EXPECT_EQ(plan.reads[1].file, 1u);
  EXPECT_EQ(plan.reads[1].offset, 16'384);
  EXPECT_EQ(plan.reads[1].bytes, 20'000u - 16'384u) << "no file is read past its end";
  EXPECT_EQ(plan.reads[1].place, 3 * kPage);
  EXPECT_EQ(plan.bytes, 4 * kPage);
  EXPECT_EQ(plan.places, (std::vector<size_t>{9000 - 4096, 4, 3 * kPage + 17'000 - 16'384}));
}

TEST(PlanReads, DistantRangesAreReadApart) {
  const UnitReads plan = plan_reads({{0, 0, 10}, {0, 500'000, 10}}, {1'000'000});
  ASSERT_EQ(plan.reads.size(), 2u);
  EXPECT_EQ(plan.bytes, 2 * kPage);
}

// Every byte of every range lies where its place says, whatever the ranges.
TEST(PlanReads, EveryRangeIsCoveredByOneRead) {
  std::mt19937 random(7);
  for (int round = 0; round < 300; ++round) {
    std::vector<int64_t> files(3);
    for (int64_t& bytes : files) bytes = 1 + random() % 400'000;
    std::vector<StreamedRange> ranges(1 + random() % 6);
    for (StreamedRange& range : ranges) {
      range.file = random() % files.size();
      range.offset = random() % files[range.file];
      range.bytes = random() % (files[range.file] - range.offset) + 1;
    }
    const UnitReads plan = plan_reads(ranges, files);
    size_t end = 0;
    for (const StreamedRead& read : plan.reads) {
      EXPECT_EQ(read.offset % kPage, 0u);
      EXPECT_EQ(read.place % kPage, 0u);
      EXPECT_GE(read.place, end) << "reads overlap in memory";
      end = read.place + read.bytes;
      EXPECT_LE(read.offset + static_cast<int64_t>(read.bytes), files[read.file]);
    }
    EXPECT_LE(end, plan.bytes);
    for (size_t i = 0; i < ranges.size(); ++i) {
      bool covered = false;
      for (const StreamedRead& read : plan.reads)
        covered =
            covered || (read.file == ranges[i].file && read.offset <= ranges[i].offset &&
                        ranges[i].offset + ranges[i].bytes <= read.offset + read.bytes &&
                        plan.places[i] == read.place + static_cast<size_t>(ranges[i].offset - read.offset));
      EXPECT_TRUE(covered);
    }
  }
}

TEST(Ring, GivesOutPiecesThatDoNotOverlapInTheOrderInWhichTheyComeBack) {
  std::mt19937 random(11);
  for (int round = 0; round < 50; ++round) {
    Ring ring(100 + random() % 100);
    std::deque<std::pair<size_t, size_t>> out;
    for (int step = 0; step < 400; ++step) {
      const size_t bytes = 1 + random() % 60;
      const auto begin = ring.take(bytes);
      if (!begin) {
        ASSERT_FALSE(out.empty()) << "an empty ring has room for " << bytes;
        ring.give_back();
        out.pop_front();
        continue;
      }
      ASSERT_LE(*begin + bytes, ring.bytes());
      for (const auto& [other, end] : out) ASSERT_TRUE(*begin + bytes <= other || *begin >= end);
      out.emplace_back(*begin, *begin + bytes);
      if (random() % 3 == 0) {
        ring.give_back();
        out.pop_front();
      }
    }
  }
}

TEST(Ring, IsFullWhenAllOfItIsOut) {
  Ring ring(10);
  EXPECT_EQ(ring.take(6), std::optional<size_t>(0));
  EXPECT_EQ(ring.take(4), std::optional<size_t>(6));
  EXPECT_FALSE(ring.take(1).has_value());
  ring.give_back();
  EXPECT_EQ(ring.take(6), std::optional<size_t>(0));
  EXPECT_FALSE(ring.take(1).has_value());
  ring.clear();
  EXPECT_EQ(ring.take(10), std::optional<size_t>(0));
  ring.give_back();
  EXPECT_THROW(ring.give_back(), base::Error);
}

}  // namespace
}  // namespace deepspeed::zero
