#include "deepspeed/optim/norm.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <limits>

#include "deepspeed/base/error.h"

namespace deepspeed::optim {
namespace {

TEST(NormTest, PiecesAddUpToTheWhole) {
  const at::Tensor x = at::arange(1, 100'001).to(at::kFloat);
  NormResult sum;
  for (int64_t begin = 0; begin < x.numel(); begin += 33'333)
    sum += norm_squared(x.narrow(0, begin, std::min<int64_t>(33'333, x.numel() - begin)));
  EXPECT_NEAR(sum.sum_squares, 333338333350000.0, 1);
  EXPECT_TRUE(sum.finite);
}

TEST(NormTest, OneBadPieceMakesTheSumNonFinite) {
  NormResult sum = norm_squared(at::ones({5}));
  sum += norm_squared(at::full({1}, std::numeric_limits<float>::infinity()));
  sum += norm_squared(at::ones({5}));
  EXPECT_FALSE(sum.finite);
}

TEST(NormTest, NoGradientCountsAsZeros) {
  EXPECT_EQ(norm_squared({}).sum_squares, 0);
  EXPECT_TRUE(norm_squared(at::zeros({0})).finite);
}

TEST(NormTest, ClippingFollowsTheRuleOfTheZeroStages) {
  EXPECT_EQ(clip_factor(10, 0, 4), 0.25);                    // clipping off: only unscale
  EXPECT_EQ(clip_factor(0.5, 1, 1), 1);                      // below the bound: untouched
  EXPECT_DOUBLE_EQ(clip_factor(10, 2, 1), 2 / (10 + 1e-6));  // norm 10 becomes 2
  EXPECT_DOUBLE_EQ(clip_factor(10 * 1024, 2, 1024), 2 / (10 + 1e-6) / 1024);
  EXPECT_EQ(clip_factor(1024 * 0.5, 1, 1024), 1.0 / 1024);
  EXPECT_THROW(clip_factor(1, -1, 1), base::Error);
  EXPECT_THROW(clip_factor(1, 1, 0), base::Error);
}

}  // namespace
}  // namespace deepspeed::optim
