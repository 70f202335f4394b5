#include "deepspeed/ops/adam.h"

#include <cmath>
#include <limits>

#include "deepspeed/ops/cpu/adam_kernel.h"
#include "deepspeed/ops/reference/update.h"
#include "tests/ops/update_support.h"

namespace deepspeed::ops {
namespace {

using testing::Formats;
using testing::random_state;
using testing::same_bits;
using testing::State;

constexpr UpdateOrder kOrders[] = {UpdateOrder::kFused, UpdateOrder::kCpu};

void step(const State& s, const AdamArgs& args) {
  adam_step(s.param, s.grad, s.states[0], s.states[1], args, s.copy);
}
void reference_step(const State& s, const AdamArgs& args) {
  reference::adam_step(s.param, s.grad, s.states[0], s.states[1], args, s.copy);
}

// Step 3 with these numbers, worked out here so that a kernel is tested without adam.cpp. All but 0.9 and
// 0.99 are powers of two.
AdamArgs args_of(UpdateOrder order, bool adamw) {
  return {.lr = 0.0078125,
          .beta1 = 0.9,
          .beta2 = 0.99,
          .eps = 0x1p-26,
          .weight_decay = 0.125,
          .step = 3,
          .adamw = adamw,
          .grad_scale = 0.25,
          .order = order};
}

cpu::AdamConstants constants_of(UpdateOrder order, bool adamw) {
  const bool fused = order == UpdateOrder::kFused;
  const double bc1 = 1 - std::pow(double{0.9f}, 3), bc2 = 1 - std::pow(double{0.99f}, 3);
  return {fused,
          adamw ? cpu::AdamDecay::kDecoupled : cpu::AdamDecay::kL2,
          0.25f,
          0.9f,
          1 - 0.9f,
          0.99f,
          1 - 0.99f,
          0x1p-26f,
          fused || !adamw ? 0.125f : -0.0009765625f,
          static_cast<float>(1 / bc1),
          static_cast<float>(fused ? 1 / bc2 : 1 / std::sqrt(bc2)),
          static_cast<float>(fused ? -0.0078125 : -0.0078125 / bc1)};
}

TEST(AdamTest, EveryKernelMatchesTheReferenceInEveryFormatAndAlignment) {
  for (UpdateOrder order : kOrders)
    for (bool adamw : {true, false}) {
      const cpu::AdamConstants constants = constants_of(order, adamw);
      testing::check_every_path(
          2, {1, 0.02, 0.5},
          [&](base::Isa isa, const cpu::UpdateBuffers& b, int64_t count) {
            cpu::adam_kernel(isa)(b, 0, count, constants);
          },
          [&](const State& s) { reference_step(s, args_of(order, adamw)); });
    }
}

TEST(AdamTest, BothOrdersFollowTheReferenceOverStepsThatJump) {
  for (UpdateOrder order : kOrders)
    for (bool adamw : {true, false})
      for (bool bias_correction : {true, false})
        for (double weight_decay : {0.0, 0.1}) {
          State actual = random_state(1000, 2, {.copy = at::kBFloat16}), expected = actual.clone();
          for (int64_t number : {1, 2, 3, 7, 8, 8, 5, 100, 101, 100'000}) {
            const AdamArgs args{.lr = 1e-3,
                                .weight_decay = weight_decay,
                                .step = number,
                                .adamw = adamw,
                                .bias_correction = bias_correction,
                                .grad_scale = 1.0 / 3,
                                .order = order};
            step(actual, args);
            reference_step(expected, args);
          }
          // 10 roundings of p, each at most half a unit in the last place of up to 4.
          EXPECT_LE((actual.param - expected.param).abs().max().item<double>(), 10 * 2.4e-7);
          EXPECT_TRUE(at::allclose(actual.states[1], expected.states[1], 3e-6, 1e-9));
        }
}

TEST(AdamTest, TheOrdersDifferInRoundingOnly) {
  State fused = random_state(10'000, 2), cpu = fused.clone();
  step(fused, {.weight_decay = 0.1, .step = 4, .order = UpdateOrder::kFused});
  step(cpu, {.weight_decay = 0.1, .step = 4, .order = UpdateOrder::kCpu});
  EXPECT_TRUE(at::allclose(fused.param, cpu.param, 2e-7, 2e-7));
  EXPECT_FALSE(at::equal(fused.param, cpu.param));
}

TEST(AdamTest, TheFirstStepMovesEveryParameterByTheLearningRateAgainstItsGradient) {
  for (UpdateOrder order : kOrders) {
    State s = random_state(500, 2);
    s.states[0].zero_(), s.states[1].zero_();
    const at::Tensor before = s.param.clone();
    step(s, {.lr = 0.125, .eps = 0, .order = order});
    EXPECT_TRUE(at::allclose(before - s.param, 0.125 * s.grad.sign(), 1e-5, 1e-6));
  }
}

TEST(AdamTest, AnElementsResultDependsOnNeitherPositionNorThreads) {
  for (UpdateOrder order : kOrders) {
    const AdamArgs args{.weight_decay = 0.01, .step = 5, .grad_scale = 0.3, .order = order};
    for (const Formats& formats : {Formats{.grad = at::kBFloat16, .copy = at::kHalf},
                                   Formats{at::kBFloat16, at::kBFloat16, at::kBFloat16, {}}})
      testing::check_position_and_threads(2, formats, [&](const State& s) { step(s, args); });
  }
}

TEST(AdamTest, ALongCopyHasTheSameBits) {
  testing::check_streamed_copy(2, [](const State& s) { step(s, {}); });
}

TEST(AdamTest, NonFiniteGradientsPropagateAndTouchNothingElse) {
  for (UpdateOrder order : kOrders)
    for (auto type : {at::kFloat, at::kBFloat16, at::kHalf}) {
      State s = random_state(40, 2, {.grad = type, .copy = at::kBFloat16}), clean = s.clone();
      s.grad[3] = std::numeric_limits<double>::quiet_NaN();
      s.grad[38] = std::numeric_limits<double>::infinity();  // in the tail
      step(s, {.order = order});
      step(clean, {.order = order});
      for (int64_t i : {3, 38}) {
        EXPECT_FALSE(std::isfinite(s.states[0][i].item<double>())) << i;
        EXPECT_TRUE(std::isnan(s.param[i].item<double>())) << i;
        EXPECT_TRUE(std::isnan(s.copy[i].item<double>())) << i;
        s.param[i] = clean.param[i];
      }
      EXPECT_TRUE(at::equal(s.param, clean.param));
    }
}

TEST(AdamTest, DenormalGradientsAndCopiesKeepTheirValue) {
  const at::Tensor values = at::tensor({6e-8, -6e-8, 1.2e-7, 3e-5, 5.9e-8, -9e-6}, at::kDouble).repeat(7);
  const auto zeros = [] { return at::zeros({42}); };
  State s{values.to(at::kFloat), values.to(at::kHalf), {zeros(), zeros()}, at::zeros({42}, at::kHalf)};
  step(s, {.lr = 0, .beta1 = 0});
  EXPECT_TRUE(at::equal(s.states[0], values.to(at::kHalf).to(at::kFloat)));
  EXPECT_TRUE(same_bits(s.copy, values.to(at::kFloat).to(at::kHalf)));
  State b{values.to(at::kFloat) * 1e-33, zeros(), {zeros(), zeros()}, at::zeros({42}, at::kBFloat16)};
  step(b, {.lr = 0});
  EXPECT_TRUE(same_bits(b.copy, b.param.to(at::kBFloat16)));
  EXPECT_NE(b.copy[3].item<float>(), 0);
}

TEST(AdamTest, TensorsThatDoNotFitAreNamed) {
  auto message = [](const State& s, AdamArgs args = {}) {
    return testing::message_of([&] { step(s, args); });
  };
  using ::testing::HasSubstr;
  const State good = random_state(8, 2, {.copy = at::kHalf});
  State s = good;
  s.grad = at::zeros({7});
  EXPECT_THAT(message(s), HasSubstr("adam_step: grad has 7 elements, param has 8"));
  s = good, s.grad = at::zeros({8}, at::kDouble);
  EXPECT_THAT(message(s), HasSubstr("adam_step: grad is of type Double"));
  s = good, s.param = good.param.to(at::kHalf);
  EXPECT_THAT(message(s), HasSubstr("low_precision_copy cannot be of type Half where param is of type Half"));
  s = good, s.copy = at::zeros({8});
  EXPECT_THAT(message(s), HasSubstr("low_precision_copy cannot be of type Float where param is of type"));
  s = good, s.states[0] = at::zeros({16}).slice(0, 0, 16, 2);
  EXPECT_THAT(message(s), HasSubstr("exp_avg must be contiguous"));
  s = good, s.states[1] = at::zeros({8}, at::kBFloat16);
  EXPECT_THAT(message(s), HasSubstr("exp_avg_sq is of type BFloat16, exp_avg of Float"));
  s = good, s.states[0] = s.states[1] = at::zeros({8}, at::kHalf);
  EXPECT_THAT(message(s), HasSubstr("exp_avg cannot be of type Half where param is of type Float"));
  s = good, s.param.reset();
  EXPECT_THAT(message(s), HasSubstr("param is undefined"));
  EXPECT_THAT(message(good, {.step = 0}), HasSubstr("step must be at least 1"));
}

}  // namespace
}  // namespace deepspeed::ops
