#include "deepspeed/data/sampler.h"

#include <gtest/gtest.h>

#include <set>

#include "deepspeed/base/error.h"

namespace deepspeed::data {
namespace {

TEST(Sampler, FollowsTheDocumentedOrderWithoutShuffling) {
  // Step s, micro-step g, rank r takes ((s*G + g)*W + r)*M ... +M-1, wrapping round.
  const int64_t M = 2, G = 3, samples = 17;
  const int W = 2;
  for (int r = 0; r < W; ++r) {
    Sampler sampler({.samples = samples, .micro_batch = M, .rank = r, .world_size = W});
    for (int64_t s = 0; s < 4; ++s)
      for (int64_t g = 0; g < G; ++g)
        for (int64_t j = 0; j < M; ++j)
          ASSERT_EQ(sampler.batch(s * G + g)[static_cast<size_t>(j)],
                    (((s * G + g) * W + r) * M + j) % samples);
  }
}

TEST(Sampler, ShufflesEachEpochIntoAnotherPermutationSharedByTheRanks) {
  std::vector<std::vector<int64_t>> epochs(3);
  for (int64_t m = 0; m < 3 * 4; ++m)
    for (int r = 0; r < 3; ++r) {
      Sampler sampler(
          {.samples = 24, .micro_batch = 2, .rank = r, .world_size = 3, .shuffle = true, .seed = 5});
      for (int64_t sample : sampler.batch(m)) epochs[static_cast<size_t>(m / 4)].push_back(sample);
    }
  for (const auto& epoch : epochs) EXPECT_EQ(std::set<int64_t>(epoch.begin(), epoch.end()).size(), 24u);
  EXPECT_NE(epochs[0], epochs[1]);
  EXPECT_NE(epochs[1], epochs[2]);
}

TEST(Sampler, NeedsNoHistoryToContinueAnywhere) {
  const Sampler::Options options{
      .samples = 101, .micro_batch = 3, .rank = 1, .world_size = 2, .shuffle = true, .seed = 9};
  Sampler walked(options), jumped(options);
  for (int64_t m = 0; m < 77; ++m) walked.batch(m);
  EXPECT_EQ(walked.batch(77), jumped.batch(77));
  EXPECT_EQ(walked.batch(3), jumped.batch(3));  // and back
}

TEST(Sampler, RefusesAnEmptyDataset) { EXPECT_THROW(Sampler({.samples = 0}), base::Error); }

// ceil(samples / world) samples a rank, of which floor(... / micro) micro-batches: the length of DeepSpeed's
// DeepSpeedDataLoader over a DistributedSampler.
struct DropLast {
  int64_t samples;
  int world;
  int64_t micro, micro_batches;  // an epoch's, on each rank
};

TEST(Sampler, DropLastHasDeepSpeedsNumberOfMicroBatches) {
  for (const auto& c :
       {DropLast{7, 2, 2, 2}, DropLast{8, 2, 2, 2}, DropLast{9, 2, 2, 2}, DropLast{10, 1, 3, 3},
        DropLast{10, 3, 4, 1}, DropLast{23, 4, 2, 3}, DropLast{24, 4, 6, 1}}) {
    const auto sampler = [&](int rank) {
      return Sampler({.samples = c.samples,
                      .micro_batch = c.micro,
                      .rank = rank,
                      .world_size = c.world,
                      .drop_last = true});
    };
    EXPECT_EQ(sampler(0).steps_per_epoch(1), c.micro_batches) << c.samples;
    // The epoch begins anew after them, for every rank, and within it samples repeat only to fill the ranks.
    std::vector<int64_t> seen;
    for (int64_t m = 0; m < c.micro_batches; ++m)
      for (int r = 0; r < c.world; ++r) {
        EXPECT_EQ(sampler(r).batch(m), sampler(r).batch(m + c.micro_batches));
        for (int64_t sample : sampler(r).batch(m)) seen.push_back(sample);
      }
    const auto distinct = static_cast<int64_t>(std::set<int64_t>(seen.begin(), seen.end()).size());
    EXPECT_EQ(distinct, std::min(c.samples, static_cast<int64_t>(seen.size())));
  }
}

TEST(Sampler, DropLastRefusesToDropEverything) {
  EXPECT_THROW(Sampler({.samples = 5, .micro_batch = 4, .world_size = 2, .drop_last = true}), base::Error);
}

TEST(Sampler, OrdersMoreSamplesThanMemoryHolds) {
  const Sampler sampler({.samples = int64_t{1} << 40, .micro_batch = 4, .shuffle = true});
  for (int64_t sample : sampler.batch(int64_t{1} << 37)) {
    EXPECT_GE(sample, 0);
    EXPECT_LT(sample, int64_t{1} << 40);
  }
}

}  // namespace
}  // namespace deepspeed::data
