#include "deepspeed/aio/buffer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <algorithm>
#include <cstdint>
#include <utility>

#include "tests/aio/scratch.h"

namespace deepspeed::aio {
namespace {

using ::testing::HasSubstr;

TEST(Buffer, BeginsAtAPageAndHoldsZeros) {
  for (size_t bytes : {size_t{1}, size_t{5000}, size_t{3} << 20}) {
    const Buffer buffer(bytes);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(buffer.data()) % 4096, 0u);
    ASSERT_EQ(buffer.size(), bytes);
    EXPECT_TRUE(std::ranges::all_of(buffer.bytes(), [](std::byte b) { return b == std::byte{0}; }));
  }
}

TEST(Buffer, OfNoBytesIsEmpty) {
  EXPECT_EQ(Buffer(0).size(), 0u);
  EXPECT_EQ(Buffer().data(), nullptr);
}

TEST(Buffer, MovesWithItsMemory) {
  Buffer first(100);
  std::byte* const data = first.data();
  Buffer second(std::move(first));
  EXPECT_EQ(second.data(), data);
  second = Buffer(7);
  EXPECT_EQ(second.size(), 7u);
}

TEST(Buffer, IsLockedOnlyWhereAskedFor) {
  EXPECT_FALSE(Buffer(4096, Buffer::Lock::kNo).locked());
  rlimit limit{};
  ASSERT_EQ(getrlimit(RLIMIT_MEMLOCK, &limit), 0);
  if (limit.rlim_cur < 8192) GTEST_SKIP() << "RLIMIT_MEMLOCK allows no locked page here";
  EXPECT_TRUE(Buffer(4096).locked());
}

TEST(Buffer, ThatCannotBeHadIsAnErrorWithItsSize) {
  EXPECT_THAT(error_of([] { Buffer(SIZE_MAX); }),
              HasSubstr("no memory for a buffer of 18446744073709551615 bytes"));
  EXPECT_THAT(error_of([] { Buffer(size_t{1} << 60); }), HasSubstr("1152921504606846976"));
}

}  // namespace
}  // namespace deepspeed::aio
