#include "deepspeed/zero/buffer_pool.h"

#include <gtest/gtest.h>

namespace deepspeed::zero {
namespace {

TEST(BufferPool, GivesTheSameMemoryAgain) {
  BufferPool pool;
  at::Tensor buffer = pool.take(1000);
  const void* memory = buffer.const_data_ptr();
  EXPECT_EQ(pool.bytes_in_use(), 1000);
  pool.give_back(std::move(buffer));
  EXPECT_EQ(pool.bytes_idle(), 1000);
  const at::Tensor again = pool.take(700);  // up to half again as large
  EXPECT_EQ(again.const_data_ptr(), memory);
  EXPECT_EQ(pool.bytes_idle(), 0);
  const at::Tensor other = pool.take(700);
  EXPECT_EQ(pool.bytes_in_use(), 1700);
}

TEST(BufferPool, FreesWhatAWholeRoundDidNotTake) {
  BufferPool pool;
  const auto round = [&](int buffers) {
    std::vector<at::Tensor> taken;
    for (int i = 0; i < buffers; ++i) taken.push_back(pool.take(1 << 20));
    for (auto& buffer : taken) pool.give_back(std::move(buffer));
    pool.end_round();
  };
  round(10);
  EXPECT_EQ(pool.bytes_idle(), 10 << 20);
  round(3);  // the other seven have waited through this one
  EXPECT_EQ(pool.bytes_idle(), 3 << 20);
  for (int i = 0; i < 3; ++i) round(3);
  EXPECT_EQ(pool.bytes_idle(), 3 << 20);
  const at::Tensor held = pool.take(1 << 20);  // in use through rounds
  round(0), round(0);
  EXPECT_EQ(pool.bytes_idle(), 0);
  EXPECT_EQ(pool.bytes_in_use(), 1 << 20);
}

// However many buffers have come back, a round that needs one at a time takes the same one.
TEST(BufferPool, DoesNotGoRoundAmongEqualOnes) {
  BufferPool pool;
  std::vector<at::Tensor> taken;
  for (int i = 0; i < 5; ++i) taken.push_back(pool.take(4096));
  for (auto& buffer : taken) pool.give_back(std::move(buffer));
  pool.end_round();
  for (int i = 0; i < 5; ++i) pool.give_back(pool.take(4096));
  pool.end_round();
  EXPECT_EQ(pool.bytes_idle(), 4096);
}

}  // namespace
}  // namespace deepspeed::zero
