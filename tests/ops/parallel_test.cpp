#include "deepspeed/ops/parallel.h"

#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include <atomic>
#include <mutex>
#include <set>
#include <thread>
#include <vector>

namespace deepspeed::ops {
namespace {

class ParallelTest : public ::testing::Test {
 protected:
  void TearDown() override { at::set_num_threads(1); }
};

TEST_F(ParallelTest, EveryIndexIsVisitedOnce) {
  for (int threads : {1, 2, 3, 7}) {
    at::set_num_threads(threads);
    for (int64_t count : {0, 1, 2, 6, 7, 8, 1000}) {
      std::vector<std::atomic<int>> visits(static_cast<size_t>(count));
      parallel_ranges(count, 2, [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i) ++visits[static_cast<size_t>(i)];
      });
      for (const auto& visit : visits) EXPECT_EQ(visit, 1) << threads << " " << count;
    }
  }
}

TEST_F(ParallelTest, StepsCoverEveryIndexOnce) {
  for (int threads : {1, 2, 3, 7}) {
    at::set_num_threads(threads);
    for (int64_t count : {0, 1, 2, 6, 7, 8, 1000})
      for (int64_t step : {1, 3, 64, 5000}) {
        std::vector<std::atomic<int>> visits(static_cast<size_t>(count)), busy(static_cast<size_t>(threads));
        parallel_steps(count, 2, step, [&](int64_t thread, int64_t begin, int64_t end) {
          EXPECT_EQ(busy.at(static_cast<size_t>(thread))++, 0);
          for (int64_t i = begin; i < end; ++i) ++visits[static_cast<size_t>(i)];
          --busy[static_cast<size_t>(thread)];
        });
        for (const auto& visit : visits) EXPECT_EQ(visit, 1) << threads << " " << count << " " << step;
      }
  }
}

// The first thread waits at its first step until all other steps are done: its own, too.
TEST_F(ParallelTest, WhoIsDoneTakesTheOthersSteps) {
  at::set_num_threads(2);
  std::atomic<int> done = 0;
  parallel_steps(40, 1, 1, [&](int64_t, int64_t begin, int64_t) {
    while (begin == 0 && done < 39) std::this_thread::yield();
    ++done;
  });
  EXPECT_EQ(done, 40);
}

TEST_F(ParallelTest, WhatAStepThrowsIsThrown) {
  at::set_num_threads(2);
  EXPECT_THROW(parallel_steps(40, 1, 1,
                              [](int64_t, int64_t begin, int64_t) {
                                if (begin == 33) throw std::runtime_error("no");
                              }),
               std::runtime_error);
}

std::set<std::thread::id> threads_of(int64_t count, int64_t grain) {
  std::mutex mutex;
  std::set<std::thread::id> ids;
  parallel_ranges(count, grain, [&](int64_t, int64_t) {
    const std::lock_guard lock(mutex);
    ids.insert(std::this_thread::get_id());
  });
  return ids;
}

TEST_F(ParallelTest, AsManyThreadsWorkAsAreAllowedAndWorthwhile) {
  at::set_num_threads(3);
  EXPECT_EQ(threads_of(100, 1).size(), 3);
  EXPECT_EQ(threads_of(100, 60).size(), 2);
  EXPECT_EQ(threads_of(100, 100), std::set{std::this_thread::get_id()});
  at::set_num_threads(1);
  EXPECT_EQ(threads_of(100, 1), std::set{std::this_thread::get_id()});
}

TEST_F(ParallelTest, ALoopInsideALoopStaysOnItsThread) {
  at::set_num_threads(2);
  parallel_ranges(2, 1, [&](int64_t, int64_t) {
    const auto self = std::this_thread::get_id();
    parallel_ranges(100, 1, [&](int64_t begin, int64_t end) {
      EXPECT_EQ(std::this_thread::get_id(), self);
      EXPECT_EQ(end - begin, 100);
    });
  });
}

}  // namespace
}  // namespace deepspeed::ops
