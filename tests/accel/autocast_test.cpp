#include "deepspeed/accel/autocast.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

namespace deepspeed::accel {
namespace {

TEST(Autocast, HoldsWithinItsRegionAndNests) {
  const at::Tensor x = at::ones({2, 2});
  EXPECT_FALSE(Autocast::current());
  {
    const Autocast outer(at::kBFloat16);
    EXPECT_EQ(Autocast::current(), at::kBFloat16);
    EXPECT_EQ(at::mm(x, x).scalar_type(), at::kBFloat16);
    {
      const Autocast half(at::kHalf);
      EXPECT_EQ(at::mm(x, x).scalar_type(), at::kHalf);
    }
    {
      const Autocast off(std::nullopt);
      EXPECT_FALSE(Autocast::current());
      EXPECT_EQ(at::mm(x, x).scalar_type(), at::kFloat);
    }
    EXPECT_EQ(Autocast::current(), at::kBFloat16);
  }
  EXPECT_FALSE(Autocast::current());
  EXPECT_EQ(at::mm(x, x).scalar_type(), at::kFloat);
}

TEST(Autocast, CastsWhatLowerPrecisionOpsWouldCast) {
  EXPECT_EQ(autocast(at::ones({2})).scalar_type(), at::kFloat);
  const Autocast region(at::kBFloat16);
  EXPECT_EQ(autocast(at::ones({2})).scalar_type(), at::kBFloat16);
  EXPECT_EQ(autocast(at::ones({2}, at::kHalf)).scalar_type(), at::kBFloat16);
  EXPECT_EQ(autocast(at::ones({2}, at::kDouble)).scalar_type(), at::kDouble);
  EXPECT_EQ(autocast(at::ones({2}, at::kLong)).scalar_type(), at::kLong);
  EXPECT_FALSE(autocast(at::Tensor()).defined());
}

TEST(Autocast, KeepsTheCastOfALeafUntilTheOutermostRegionEnds) {
  const at::Tensor leaf = at::ones({2}).requires_grad_();
  at::Tensor first;
  {
    const Autocast region(at::kBFloat16);
    first = autocast(leaf);
    EXPECT_TRUE(autocast(leaf).is_same(first));
  }
  const Autocast region(at::kBFloat16);
  EXPECT_FALSE(autocast(leaf).is_same(first));
  autocast(leaf).sum().backward();
  EXPECT_EQ(leaf.grad().scalar_type(), at::kFloat);
}

TEST(Autocast, CastsAnewWhereAskedSoThatNoCastWithoutGradientsServesLater) {
  const at::Tensor leaf = at::ones({2}).requires_grad_();
  const Autocast region(at::kBFloat16);
  {
    const at::NoGradGuard no_grad;
    const Autocast anew(at::kBFloat16, Autocast::Casts::kAnew);
    EXPECT_FALSE(autocast(leaf).requires_grad());
  }
  EXPECT_TRUE(autocast(leaf).requires_grad());
}

}  // namespace
}  // namespace deepspeed::accel
