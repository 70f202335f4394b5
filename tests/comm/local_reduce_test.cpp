#include "deepspeed/comm/local_reduce.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

namespace deepspeed::comm {
namespace {

std::vector<at::Tensor> parts(int count, at::ScalarType dtype) {
  std::vector<at::Tensor> result;
  for (int i = 0; i < count; ++i)
    result.push_back(at::arange(70000, at::kDouble).mul(0.1 * (i + 1)).cos().to(dtype));
  return result;
}

TEST(LocalReduce, OutputMayBeAnyOfTheParts) {
  for (const auto dtype : {at::kFloat, at::kBFloat16}) {
    for (int count = 1; count <= 4; ++count) {
      auto expected = at::zeros({70000}, dtype);
      reduce_parts(expected, parts(count, dtype), ReduceOp::kSum);
      for (int i = 0; i < count; ++i) {
        const auto all = parts(count, dtype);
        reduce_parts(all[i], all, ReduceOp::kSum);
        EXPECT_TRUE(all[i].equal(expected)) << count << " parts into part " << i;
      }
    }
  }
}

TEST(LocalReduce, SumsInTheOrderOfTheParts) {
  // In single precision 1e8 + 1 - 1e8 is 0, while 1e8 - 1e8 + 1 is 1.
  const auto big = at::full({1}, 1e8f), one = at::ones({1});
  auto output = at::zeros({1});
  reduce_parts(output, {big, one, big.neg()}, ReduceOp::kSum);
  EXPECT_EQ(output.item<float>(), 0);
  reduce_parts(output, {big, big.neg(), one}, ReduceOp::kSum);
  EXPECT_EQ(output.item<float>(), 1);
}

TEST(LocalReduce, OverlapIsAboutBytesNotStorages) {
  const auto t = at::zeros({10});
  EXPECT_TRUE(overlaps(t, t.narrow(0, 9, 1)));
  EXPECT_FALSE(overlaps(t.narrow(0, 0, 5), t.narrow(0, 5, 5)));
  EXPECT_FALSE(overlaps(t.narrow(0, 3, 0), t));
}

}  // namespace
}  // namespace deepspeed::comm
