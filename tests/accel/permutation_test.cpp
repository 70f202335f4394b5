#include "deepspeed/accel/permutation.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

namespace deepspeed::accel {
namespace {

std::vector<uint64_t> all(uint64_t size, RngKey key) {
  const Permutation permutation(size, key);
  std::vector<uint64_t> values;
  for (uint64_t i = 0; i < size; ++i) values.push_back(permutation(i));
  return values;
}

TEST(Permutation, HasEveryElementOnceAtAnySize) {
  for (uint64_t size : {1, 2, 3, 4, 5, 7, 16, 17, 63, 64, 65, 255, 256, 257, 1000, 4096, 4097, 100003}) {
    std::vector<uint64_t> values = all(size, {3, size});
    std::sort(values.begin(), values.end());
    for (uint64_t i = 0; i < size; ++i) ASSERT_EQ(values[i], i) << size;
  }
}

TEST(Permutation, IsAFunctionOfItsKey) {
  EXPECT_EQ(all(1000, {1, 2}), all(1000, {1, 2}));
  EXPECT_NE(all(1000, {1, 2}), all(1000, {1, 3}));
  EXPECT_NE(all(1000, {1, 2}), all(1000, {2, 2}));
}

TEST(Permutation, WorksOnSizesThatNoMemoryHolds) {
  const uint64_t size = (uint64_t{1} << 62) + 12345;
  const Permutation permutation(size, {1, 1});
  for (uint64_t i = 0; i < 1000; ++i) ASSERT_LT(permutation(size - 1 - i), size);
  EXPECT_NE(permutation(0), permutation(1));
}

TEST(Permutation, PutsEachElementInEachPlaceEquallyOften) {
  // Over many keys the count of (place, element) is binomial; six standard deviations bound every one of 25.
  constexpr uint64_t kSize = 5, kKeys = 20000;
  std::vector<double> counts(kSize * kSize);
  for (uint64_t key = 0; key < kKeys; ++key) {
    const Permutation permutation(kSize, {7, key});
    for (uint64_t i = 0; i < kSize; ++i) ++counts[i * kSize + permutation(i)];
  }
  const double mean = static_cast<double>(kKeys) / kSize, deviation = std::sqrt(mean * (1 - 1.0 / kSize));
  for (double count : counts) EXPECT_NEAR(count, mean, 6 * deviation);
}

TEST(Permutation, LeavesFewNeighboursTogether) {
  const auto values = all(10000, {5, 5});
  int neighbours = 0;
  for (size_t i = 1; i < values.size(); ++i) neighbours += values[i] == values[i - 1] + 1;
  EXPECT_LT(neighbours, 10);  // 1 is expected
}

}  // namespace
}  // namespace deepspeed::accel
