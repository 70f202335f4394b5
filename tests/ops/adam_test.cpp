#include "deepspeed/ops/adam.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "deepspeed/base/error.h"
#include "deepspeed/ops/cpu/adam_kernel.h"
#include "deepspeed/ops/reference/adam.h"

namespace deepspeed::ops {
namespace {

using base::Isa;
using cpu::AdamFormat;

struct State {
  at::Tensor param, grad, exp_avg, exp_avg_sq, copy;
  State clone() const {
    return {param.clone(), grad.clone(), exp_avg.clone(), exp_avg_sq.clone(),
            copy.defined() ? copy.clone() : copy};
  }
};

State random_state(int64_t n, at::ScalarType grad_type, std::optional<at::ScalarType> copy_type,
                   uint64_t seed = 1) {
  auto generator = at::make_generator<at::CPUGeneratorImpl>(seed);
  auto normal = [&] { return at::randn({n}, generator, at::kFloat); };
  State s{normal(), normal().to(grad_type), normal() * 0.1, normal().square() * 0.01, {}};
  if (copy_type) s.copy = at::zeros({n}, *copy_type);
  return s;
}

void step(const State& s, const AdamArgs& args) {
  adam_step(s.param, s.grad, s.exp_avg, s.exp_avg_sq, args, s.copy);
}
void reference_step(const State& s, const AdamArgs& args) {
  reference::adam_step(s.param, s.grad, s.exp_avg, s.exp_avg_sq, args, s.copy);
}

bool same_bits(const at::Tensor& a, const at::Tensor& b) {
  return a.scalar_type() == b.scalar_type() && a.numel() == b.numel() &&
         (a.nbytes() == 0 || std::memcmp(a.const_data_ptr(), b.const_data_ptr(), a.nbytes()) == 0);
}

void expect_near(const State& actual, const State& expected, const char* what) {
  // A few units in the last place of what was added up, not of the sum, which may cancel.
  auto close = [&](const at::Tensor& a, const at::Tensor& b, double scale) {
    EXPECT_TRUE(at::allclose(a, b, 4e-7, 4e-7 * scale)) << what << ": " << (a - b).abs().max().item<double>();
  };
  close(actual.exp_avg, expected.exp_avg, 1);
  close(actual.exp_avg_sq, expected.exp_avg_sq, 0);
  close(actual.param, expected.param, 0.5);
  if (actual.copy.defined()) {
    EXPECT_TRUE(same_bits(actual.copy, actual.param.to(actual.copy.scalar_type()))) << what;
  }
}

AdamFormat format_of(const at::Tensor& t) {
  if (!t.defined()) return AdamFormat::kNone;
  return t.scalar_type() == at::kFloat
             ? AdamFormat::kFp32
             : (t.scalar_type() == at::kHalf ? AdamFormat::kFp16 : AdamFormat::kBf16);
}

// The constants for step 3 of AdamW with these numbers, worked out here so that a kernel is tested without
// adam.cpp.
constexpr AdamArgs kArgs{
    .lr = 1e-2, .beta1 = 0.9, .beta2 = 0.99, .eps = 1e-8, .weight_decay = 0.1, .step = 3, .grad_scale = 0.25};
const cpu::AdamConstants kConstants{0.25f,
                                    0,
                                    0.9f,
                                    0.1f,
                                    0.99f,
                                    0.01f,
                                    static_cast<float>(1 / std::sqrt(1 - std::pow(0.99, 3))),
                                    1e-8f,
                                    0.999f,
                                    static_cast<float>(1e-2 / (1 - std::pow(0.9, 3)))};

void run_kernel(Isa isa, const State& s) {
  cpu::AdamBuffers buffers{s.param.data_ptr<float>(),
                           s.grad.const_data_ptr(),
                           s.exp_avg.data_ptr<float>(),
                           s.exp_avg_sq.data_ptr<float>(),
                           s.copy.defined() ? s.copy.data_ptr() : nullptr,
                           format_of(s.grad),
                           format_of(s.copy)};
  cpu::adam_kernel(isa)(buffers, 0, s.param.numel(), kConstants);
}

struct Case {
  Isa isa;
  at::ScalarType grad;
  std::optional<at::ScalarType> copy;
};

class AdamKernelTest : public ::testing::TestWithParam<Case> {};

TEST_P(AdamKernelTest, MatchesTheReferenceAtEverySize) {
  const auto [isa, grad, copy] = GetParam();
  if (base::best_isa({isa}) != isa) GTEST_SKIP() << "this processor has no " << base::isa_name(isa);
  for (int64_t n : {0, 1, 3, 8, 22, 1024, (1 << 20) + 3}) {
    if (n > 1024 && copy) continue;  // the copy adds nothing that depends on the size
    State actual = random_state(n, grad, copy, n + 7), expected = actual.clone();
    run_kernel(isa, actual);
    reference_step(expected, kArgs);
    expect_near(actual, expected, base::isa_name(isa));
  }
}

std::vector<Case> all_cases() {
  std::vector<Case> cases;
  for (Isa isa : {Isa::kScalar, Isa::kAvx2, Isa::kAvx512})
    for (auto grad : {at::kFloat, at::kBFloat16, at::kHalf})
      for (auto copy :
           {std::optional<at::ScalarType>{}, std::optional(at::kBFloat16), std::optional(at::kHalf)})
        cases.push_back({isa, grad, copy});
  return cases;
}

std::string case_name(const ::testing::TestParamInfo<Case>& info) {
  const auto& c = info.param;
  return std::string(base::isa_name(c.isa)) + "_grad_" + c10::toString(c.grad) + "_copy_" +
         (c.copy ? c10::toString(*c.copy) : "none");
}

INSTANTIATE_TEST_SUITE_P(Adam, AdamKernelTest, ::testing::ValuesIn(all_cases()), case_name);

TEST(AdamTest, AdamWAndL2MatchTheReferenceOverManySteps) {
  for (bool adamw : {true, false})
    for (bool bias_correction : {true, false})
      for (double weight_decay : {0.0, 0.1}) {
        State actual = random_state(1000, at::kFloat, at::kBFloat16), expected = actual.clone();
        for (int64_t i = 1; i <= 20; ++i) {
          AdamArgs args{.lr = 1e-3,
                        .weight_decay = weight_decay,
                        .step = i,
                        .adamw = adamw,
                        .bias_correction = bias_correction,
                        .grad_scale = 1.0 / 3};
          step(actual, args);
          reference_step(expected, args);
        }
        // 20 roundings of p, each at most half a unit in the last place of up to 4.
        EXPECT_LE((actual.param - expected.param).abs().max().item<double>(), 20 * 2.4e-7);
        EXPECT_TRUE(at::allclose(actual.exp_avg_sq, expected.exp_avg_sq, 3e-6, 0));
      }
}

TEST(AdamTest, TheFirstStepMovesEveryParameterByTheLearningRateAgainstItsGradient) {
  State s = random_state(500, at::kFloat, {});
  s.exp_avg.zero_(), s.exp_avg_sq.zero_();
  const at::Tensor before = s.param.clone();
  step(s, {.lr = 0.125, .eps = 0});
  EXPECT_TRUE(at::allclose(before - s.param, 0.125 * s.grad.sign(), 1e-5, 1e-6));
}

TEST(AdamTest, AnElementsResultDependsOnNeitherPositionNorThreads) {
  const int64_t n = 100'003;
  State whole = random_state(n, at::kBFloat16, at::kHalf), parts = whole.clone(), threaded = whole.clone();
  const AdamArgs args{.weight_decay = 0.01, .step = 5, .grad_scale = 0.3};
  at::set_num_threads(1);
  step(whole, args);
  for (int64_t begin = 0, length = 1; begin < n; begin += length, length = length * 2 + 1) {
    auto cut = [&](const at::Tensor& t) { return t.narrow(0, begin, std::min(length, n - begin)); };
    step({cut(parts.param), cut(parts.grad), cut(parts.exp_avg), cut(parts.exp_avg_sq), cut(parts.copy)},
         args);
  }
  at::set_num_threads(2);
  step(threaded, args);
  at::set_num_threads(1);
  for (const State* other : {&parts, &threaded}) {
    EXPECT_TRUE(same_bits(whole.param, other->param));
    EXPECT_TRUE(same_bits(whole.exp_avg, other->exp_avg));
    EXPECT_TRUE(same_bits(whole.exp_avg_sq, other->exp_avg_sq));
    EXPECT_TRUE(same_bits(whole.copy, other->copy));
  }
}

TEST(AdamTest, NonFiniteGradientsPropagateAndTouchNothingElse) {
  for (auto type : {at::kFloat, at::kBFloat16, at::kHalf}) {
    State s = random_state(40, type, at::kBFloat16), clean = s.clone();
    s.grad[3] = std::numeric_limits<double>::quiet_NaN();
    s.grad[38] = std::numeric_limits<double>::infinity();  // in the tail
    step(s, {});
    step(clean, {});
    for (int64_t i : {3, 38}) {
      EXPECT_FALSE(std::isfinite(s.exp_avg[i].item<double>())) << i;
      EXPECT_TRUE(std::isnan(s.param[i].item<double>())) << i;
      EXPECT_TRUE(std::isnan(s.copy[i].item<double>())) << i;
      s.param[i] = clean.param[i];
    }
    EXPECT_TRUE(at::equal(s.param, clean.param));
  }
}

TEST(AdamTest, DenormalGradientsAndCopiesKeepTheirValue) {
  const at::Tensor values = at::tensor({6e-8, -6e-8, 1.2e-7, 3e-5, 5.9e-8, -9e-6}, at::kDouble).repeat(7);
  State s{values.to(at::kFloat), values.to(at::kHalf), at::zeros({42}), at::zeros({42}),
          at::zeros({42}, at::kHalf)};
  step(s, {.lr = 0, .beta1 = 0});
  EXPECT_TRUE(at::equal(s.exp_avg, values.to(at::kHalf).to(at::kFloat)));
  EXPECT_TRUE(same_bits(s.copy, values.to(at::kFloat).to(at::kHalf)));
  State b{values.to(at::kFloat) * 1e-33, at::zeros({42}), at::zeros({42}), at::zeros({42}),
          at::zeros({42}, at::kBFloat16)};
  step(b, {.lr = 0});
  EXPECT_TRUE(same_bits(b.copy, b.param.to(at::kBFloat16)));
  EXPECT_NE(b.copy[3].item<float>(), 0);
}

TEST(AdamTest, TensorsThatDoNotFitAreNamed) {
  auto message = [](const State& s, AdamArgs args = {}) -> std::string {
    try {
      step(s, args);
    } catch (const base::Error& e) {
      return e.what();
    }
    return "no error";
  };
  using ::testing::HasSubstr;
  const State good = random_state(8, at::kFloat, at::kHalf);
  State s = good;
  s.grad = at::zeros({7});
  EXPECT_THAT(message(s), HasSubstr("grad has 7 elements, param has 8"));
  s = good, s.grad = at::zeros({8}, at::kDouble);
  EXPECT_THAT(message(s), HasSubstr("grad cannot be of type Double"));
  s = good, s.param = good.param.to(at::kHalf);
  EXPECT_THAT(message(s), HasSubstr("param cannot be of type Half"));
  s = good, s.copy = at::zeros({8});
  EXPECT_THAT(message(s), HasSubstr("low_precision_copy cannot be of type Float"));
  s = good, s.exp_avg = at::zeros({16}).slice(0, 0, 16, 2);
  EXPECT_THAT(message(s), HasSubstr("exp_avg must be a contiguous CPU tensor"));
  EXPECT_THAT(message(good, {.step = 0}), HasSubstr("step must be at least 1"));
}

}  // namespace
}  // namespace deepspeed::ops
