#include "deepspeed/ops/dropout.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <torch/csrc/autograd/autograd.h>

#include "deepspeed/base/error.h"
#include "deepspeed/ops/reference/attention.h"

namespace deepspeed::ops {
namespace {

constexpr accel::RngKey kKey{42, 1234567};

TEST(Dropout, IsTheElementwiseMaskOfTheStreamForEveryDtypeAndLength) {
  for (at::ScalarType dtype : {at::kFloat, at::kBFloat16, at::kHalf}) {
    for (int64_t n : {1, 31, 32, 33, 1000, 70001}) {
      const at::Tensor x = at::randn({n}).to(dtype);
      EXPECT_TRUE(dropout(x, 0.3, kKey).equal(reference::dropout(x, 0.3, kKey))) << n;
    }
  }
}

TEST(Dropout, MaskFollowsTheLogicalOrderNotTheMemoryOrder) {
  const at::Tensor x = at::randn({30, 50});
  EXPECT_TRUE(dropout(x.t(), 0.5, kKey).equal(dropout(x.t().contiguous(), 0.5, kKey)));
  EXPECT_TRUE(
      dropout(x.narrow(1, 3, 11), 0.5, kKey).equal(reference::dropout(x.narrow(1, 3, 11), 0.5, kKey)));
}

TEST(Dropout, BackwardUsesTheSameMask) {
  const at::Tensor x = at::randn({777}).requires_grad_(), grad = at::randn({777});
  const at::Tensor got = torch::autograd::grad({dropout(x, 0.4, kKey)}, {x}, {grad})[0];
  EXPECT_TRUE(got.equal(reference::dropout(grad, 0.4, kKey)));
}

TEST(Dropout, ZeroProbabilityReturnsTheTensorItselfAndOneZeros) {
  const at::Tensor x = at::randn({100}).requires_grad_();
  EXPECT_TRUE(dropout(x, 0, kKey).is_same(x));
  const at::Tensor none = dropout(x, 1, kKey);
  EXPECT_EQ(none.abs().max().item<float>(), 0);
  EXPECT_EQ(torch::autograd::grad({none.sum()}, {x})[0].abs().max().item<float>(), 0);
}

TEST(Dropout, KeepsTheExpectedFraction) {
  const at::Tensor kept = dropout(at::ones({1 << 20}), 0.1, kKey) > 0;
  EXPECT_NEAR(kept.to(at::kFloat).mean().item<double>(), 0.9, 0.0015);
}

TEST(Dropout, AddGivesBothGradients) {
  const at::Tensor x = at::randn({20, 30}).requires_grad_(), residual = at::randn({20, 30}).requires_grad_();
  const at::Tensor out = dropout_add(residual, x, 0.25, kKey), grad = at::randn({20, 30});
  EXPECT_TRUE(out.allclose(residual + reference::dropout(x, 0.25, kKey)));
  const auto grads = torch::autograd::grad({out}, {residual, x}, {grad});
  EXPECT_TRUE(grads[0].equal(grad));
  EXPECT_TRUE(grads[1].equal(reference::dropout(grad, 0.25, kKey)));
  EXPECT_TRUE(dropout_add(residual, x, 0, kKey).equal(residual + x));
}

TEST(Dropout, ProbabilityOutsideZeroToOneIsRefused) {
  EXPECT_THROW(dropout(at::ones({3}), -0.1, kKey), base::Error);
  EXPECT_THROW(dropout(at::ones({3}), 1.1, kKey), base::Error);
  EXPECT_THROW(dropout_add(at::ones({3}), at::ones({4}), 0.1, kKey), base::Error);
}

}  // namespace
}  // namespace deepspeed::ops
