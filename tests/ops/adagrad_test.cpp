#include "deepspeed/ops/adagrad.h"

#include <cmath>
#include <limits>

#include "deepspeed/ops/cpu/adagrad_kernel.h"
#include "deepspeed/ops/reference/update.h"
#include "tests/ops/update_support.h"

namespace deepspeed::ops {
namespace {

using testing::random_state;
using testing::State;

constexpr UpdateOrder kOrders[] = {UpdateOrder::kFused, UpdateOrder::kCpu};

void step(const State& s, const AdagradArgs& args) {
  adagrad_step(s.param, s.grad, s.states[0], args, s.copy);
}
void reference_step(const State& s, const AdagradArgs& args) {
  reference::adagrad_step(s.param, s.grad, s.states[0], args, s.copy);
}

TEST(AdagradTest, EveryKernelMatchesTheReferenceInEveryFormatAndAlignment) {
  for (UpdateOrder order : kOrders)
    for (double decay : {0.0, 0.125}) {
      const AdagradArgs args{
          .lr = 0.0078125, .eps = 0x1p-20, .weight_decay = decay, .grad_scale = 0.25, .order = order};
      const cpu::AdagradConstants constants{order == UpdateOrder::kFused, decay > 0, 0.25f,
                                            static_cast<float>(decay),    0x1p-20f,  -0.0078125f};
      testing::check_every_path(
          1, {0.1, 0.5},
          [&](base::Isa isa, const cpu::UpdateBuffers& b, int64_t count) {
            cpu::adagrad_kernel(isa)(b, 0, count, constants);
          },
          [&](const State& s) { reference_step(s, args); });
    }
}

TEST(AdagradTest, TheRateDecaysWithTheNumberOfTheStep) {
  for (UpdateOrder order : kOrders) {
    State actual = random_state(1000, 1), expected = actual.clone();
    for (int64_t number : {1, 2, 9, 9, 1000}) {
      const AdagradArgs args{.lr = 0.1, .lr_decay = 0.5, .step = number, .order = order};
      step(actual, args);
      reference_step(expected, args);
    }
    EXPECT_TRUE(at::allclose(actual.param, expected.param, 1e-6, 1e-6));
  }
}

TEST(AdagradTest, AStepInTheFusedOrderIsTorchsWithinTwoUnitsInTheLastPlace) {
  for (double decay : {0.0, 0.1}) {
    State torchs = random_state(10'007, 1);
    for (int i = 0; i < 5; ++i) {
      State ours = torchs.clone();
      step(ours, {.lr = 0.05, .weight_decay = decay, .order = UpdateOrder::kFused});
      const at::Tensor g = decay > 0 ? torchs.grad.add(torchs.param, decay) : torchs.grad;
      torchs.states[0].addcmul_(g, g, 1);
      torchs.param.addcdiv_(g, torchs.states[0].sqrt().add_(1e-10), -0.05);
      EXPECT_TRUE(at::allclose(ours.states[0], torchs.states[0], 0x1p-22, 1e-9));
      EXPECT_TRUE(at::allclose(ours.param, torchs.param, 0x1p-22, 2e-8));
    }
  }
}

TEST(AdagradTest, AnElementsResultDependsOnNeitherPositionNorThreads) {
  for (UpdateOrder order : kOrders)
    testing::check_position_and_threads(1, {.grad = at::kHalf, .copy = at::kBFloat16}, [&](const State& s) {
      step(s, {.weight_decay = 0.01, .grad_scale = 0.3, .order = order});
    });
}

TEST(AdagradTest, ALongCopyHasTheSameBits) {
  testing::check_streamed_copy(1, [](const State& s) { step(s, {}); });
}

TEST(AdagradTest, NonFiniteGradientsPropagateAndTouchNothingElse) {
  for (UpdateOrder order : kOrders) {
    State s = random_state(40, 1), clean = s.clone();
    s.grad[3] = std::numeric_limits<double>::quiet_NaN();
    s.grad[38] = std::numeric_limits<double>::infinity();
    step(s, {.order = order});
    step(clean, {.order = order});
    for (int64_t i : {3, 38}) {
      EXPECT_FALSE(std::isfinite(s.states[0][i].item<double>())) << i;
      EXPECT_TRUE(std::isnan(s.param[i].item<double>())) << i;
      s.param[i] = clean.param[i];
    }
    EXPECT_TRUE(at::equal(s.param, clean.param));
  }
}

TEST(AdagradTest, AZeroGradientOverAnEmptySumStandsStill) {
  const State s{at::ones({20}), at::zeros({20}), {at::zeros({20})}, {}};
  step(s, {});
  EXPECT_TRUE(at::equal(s.param, at::ones({20})));
}

TEST(AdagradTest, WhatDoesNotFitIsNamed) {
  State s = random_state(8, 1);
  EXPECT_THAT(testing::message_of([&] { step(s, {.step = 0}); }),
              ::testing::HasSubstr("adagrad_step: step must be at least 1"));
  s.states[0] = at::zeros({9});
  EXPECT_THAT(testing::message_of([&] { step(s, {}); }),
              ::testing::HasSubstr("adagrad_step: sum has 9 elements, param has 8"));
}

}  // namespace
}  // namespace deepspeed::ops
