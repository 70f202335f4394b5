#include "deepspeed/data/prefetcher.h"

#include <ATen/ops/full.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>

#include "deepspeed/base/error.h"
#include "deepspeed/data/token_dataset.h"

namespace deepspeed::data {
namespace {

// Batches take different times to make, so that workers finish out of order.
Prefetcher::Batch slow_batch(int64_t position) {
  std::this_thread::sleep_for(std::chrono::microseconds((position * 7919) % 13 * 100));
  return {at::full({2}, position, at::kLong)};
}

int64_t number(const Prefetcher::Batch& batch) { return batch.at(0)[0].item<int64_t>(); }

TEST(Prefetcher, GivesBatchesInOrderWhateverTheWorkersDo) {
  for (int workers : {1, 2, 5}) {
    Prefetcher prefetcher(slow_batch, workers);
    for (int64_t i = 0; i < 60; ++i) ASSERT_EQ(number(prefetcher.take(i)), i) << workers;
  }
}

TEST(Prefetcher, StartsAnewAnywhere) {
  Prefetcher prefetcher(slow_batch, 3);
  for (int64_t i : {0, 1, 2, 50, 51, 7, 8, 8, 0, 1}) ASSERT_EQ(number(prefetcher.take(i)), i);
}

TEST(Prefetcher, MakesOnlyALittleAhead) {
  std::atomic<int64_t> furthest{0};
  Prefetcher prefetcher(
      [&](int64_t position) {
        int64_t seen = furthest;
        while (seen < position && !furthest.compare_exchange_weak(seen, position)) {
        }
        return slow_batch(position);
      },
      2);
  prefetcher.take(0);
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  EXPECT_GE(furthest, 1);
  EXPECT_LE(furthest, 4);
}

TEST(Prefetcher, AnErrorComesWithItsBatch) {
  Prefetcher prefetcher(
      [](int64_t position) -> Prefetcher::Batch {
        if (position == 2) base::fail("bad sample");
        return slow_batch(position);
      },
      2);
  EXPECT_EQ(number(prefetcher.take(0)), 0);
  EXPECT_EQ(number(prefetcher.take(1)), 1);
  EXPECT_THROW(prefetcher.take(2), base::Error);
  EXPECT_EQ(number(prefetcher.take(3)), 3);
}

TEST(Prefetcher, MayBeDestroyedInTheMiddleOfWork) {
  for (int i = 0; i < 20; ++i) {
    Prefetcher prefetcher(slow_batch, 4);
    prefetcher.take(i);
  }
}

TEST(Loader, WorkersChangeNothingButTheTime) {
  std::vector<int32_t> ids(101 * 4);
  for (size_t i = 0; i < ids.size(); ++i) ids[i] = static_cast<int32_t>(i);
  const auto data = std::make_shared<TokenDataset>(hold_tokens("ids", ids), SampleOptions{4, 1000});
  const Sampler::Options options{.micro_batch = 3, .rank = 1, .world_size = 2, .shuffle = true, .seed = 4};
  Loader alone(data, options), helped(data, options, 3);
  for (int i = 0; i < 50; ++i) ASSERT_TRUE(at::equal(alone.next()[0], helped.next()[0]));
  alone.seek(17);
  helped.seek(17);
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(at::equal(alone.next()[0], helped.next()[0]));
  EXPECT_THROW(Loader(data, options, -1), base::Error);
}

}  // namespace
}  // namespace deepspeed::data
