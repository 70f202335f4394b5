#include "deepspeed/ops/rotary.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <torch/csrc/autograd/autograd.h>

#include <cmath>

#include "deepspeed/base/error.h"
#include "deepspeed/ops/reference/attention.h"

namespace deepspeed::ops {
namespace {

const RotaryOptions kAll[] = {
    {10000, 0, false}, {500000, 0, false}, {10000, 12, false}, {10000, 0, true}, {10000, 8, true}};

TEST(Rotary, EqualsTheReferenceForEveryConventionAndLayout) {
  for (const RotaryOptions& options : kAll) {
    for (int64_t dim : {12, 20, 64, 80}) {
      const at::Tensor x = at::randn({2, 9, 3, dim}).transpose(1, 2);
      EXPECT_TRUE(rotary(x, 7, options).allclose(reference::rotary(x, 7, options), 1e-5, 2e-6)) << dim;
      const at::Tensor half = x.to(at::kBFloat16);
      EXPECT_TRUE(rotary(half, 7, options).allclose(reference::rotary(half, 7, options), 1e-2, 1e-2));
    }
  }
}

TEST(Rotary, GradientIsThatOfTheReference) {
  for (const RotaryOptions& options : kAll) {
    const at::Tensor x = at::randn({2, 3, 9, 20}).requires_grad_(), grad = at::randn({2, 3, 9, 20});
    const at::Tensor got = torch::autograd::grad({rotary(x, 3, options)}, {x}, {grad})[0];
    const at::Tensor want = torch::autograd::grad({reference::rotary(x, 3, options)}, {x}, {grad})[0];
    EXPECT_TRUE(got.allclose(want, 1e-5, 2e-6));
  }
}

TEST(Rotary, PositionsOfItsOwnForEveryBatchRow) {
  const at::Tensor x = at::randn({2, 3, 6, 20}).requires_grad_(), grad = at::randn({2, 3, 6, 20});
  const at::Tensor positions = at::tensor({0, 1, 2, 0, 1, 0, 0, 1, 2, 3, 4, 5}, at::kLong).view({2, 6});
  const at::Tensor got = rotary(x, rotary_at(rotary_table(20, 6, 0), positions));
  const at::Tensor got_grad = torch::autograd::grad({got}, {x}, {grad})[0];
  for (int64_t b = 0; b < 2; ++b)
    for (int64_t t = 0; t < 6; ++t) {
      const at::Tensor one = x.detach().narrow(0, b, 1).narrow(2, t, 1).clone().requires_grad_();
      const at::Tensor want = rotary(one, positions[b][t].item<int64_t>());
      EXPECT_TRUE(got.narrow(0, b, 1).narrow(2, t, 1).equal(want));
      EXPECT_TRUE(got_grad.narrow(0, b, 1).narrow(2, t, 1).equal(
          torch::autograd::grad({want}, {one}, {grad.narrow(0, b, 1).narrow(2, t, 1)})[0]));
    }
  EXPECT_THROW(rotary(at::zeros({1, 3, 6, 20}), rotary_at(rotary_table(20, 6, 0), positions)), base::Error);
}

TEST(Rotary, KnownValuesOfTheSecondPosition) {
  const at::Tensor y = rotary(at::ones({1, 1, 2, 4}), 0)[0][0];
  EXPECT_TRUE(y[0].equal(at::ones({4})));
  EXPECT_NEAR(y[1][0].item<double>(), std::cos(1.0) - std::sin(1.0), 1e-6);
  EXPECT_NEAR(y[1][2].item<double>(), std::cos(1.0) + std::sin(1.0), 1e-6);
  EXPECT_NEAR(y[1][1].item<double>(), std::cos(0.01) - std::sin(0.01), 1e-6);
}

TEST(Rotary, TakesAnyFrequenciesAndAnAmplitude) {
  const RotaryOptions options{.theta = 700, .rotary_dim = 8};
  RotaryAngles angles;
  for (int64_t i = 0; i < 4; ++i)
    angles.frequencies.push_back(std::pow(700.0, -2.0 * static_cast<double>(i) / 8));
  const at::Tensor x = at::randn({2, 3, 9, 20}).requires_grad_(), grad = at::randn({2, 3, 9, 20});
  EXPECT_TRUE(rotary(x, rotary_table(angles, 9, 5)).equal(rotary(x, 5, options)));
  angles.amplitude = 1.3;
  const at::Tensor louder = rotary(x, rotary_table(angles, 9, 5)), plain = rotary(x, 5, options);
  EXPECT_TRUE(louder.narrow(3, 0, 8).allclose(plain.narrow(3, 0, 8) * 1.3, 1e-5, 2e-6));
  EXPECT_TRUE(louder.narrow(3, 8, 12).equal(plain.narrow(3, 8, 12)));
  const at::Tensor factor = at::cat({at::full({8}, 1.3), at::ones({12})});
  EXPECT_TRUE(torch::autograd::grad({louder}, {x}, {grad})[0].allclose(
      torch::autograd::grad({plain * factor}, {x}, {grad})[0], 1e-5, 2e-6));
  EXPECT_THROW(rotary_table(RotaryAngles{}, 9, 5), base::Error);
}

TEST(Rotary, ScoresDependOnDistanceAlone) {
  const at::Tensor q = at::randn({1, 1, 1, 64}), k = at::randn({1, 1, 1, 64});
  const double near = (rotary(q, 5) * rotary(k, 2)).sum().item<double>();
  const double far = (rotary(q, 1005) * rotary(k, 1002)).sum().item<double>();
  EXPECT_NEAR(near, far, 2e-3);
}

TEST(Rotary, OneTableServesEveryLayerAndShorterSequences) {
  const RotaryTable table = rotary_table(64, 100, 0);
  const at::Tensor x = at::randn({1, 2, 30, 64});
  EXPECT_TRUE(rotary(x, table).equal(rotary(x, 0)));
  EXPECT_THROW(rotary(at::randn({1, 2, 101, 64}), table), base::Error);
  EXPECT_THROW(rotary(at::randn({1, 2, 10, 32}), table), base::Error);
  EXPECT_THROW(rotary_table(64, 5, 0, {10000, 7, false}), base::Error);
  EXPECT_THROW(rotary_table(64, 5, 0, {10000, 66, false}), base::Error);
}

}  // namespace
}  // namespace deepspeed::ops
