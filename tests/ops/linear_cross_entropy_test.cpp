#include "deepspeed/ops/linear_cross_entropy.h"

#include <gmock/gmock.h>

#include <cmath>

#include "deepspeed/accel/tensor_memory.h"
#include "deepspeed/base/error.h"
#include "deepspeed/ops/cross_entropy_tiles.h"
#include "deepspeed/ops/huge_pages.h"
#include "deepspeed/ops/kernels.h"
#include "deepspeed/ops/reference/linear_cross_entropy.h"
#include "fused_support.h"

namespace deepspeed::ops {
namespace {

TEST(EmptyHuge, IsCountedAsTensorMemory) {
  const accel::TensorMemory memory;
  {
    const at::Tensor buffer = empty_huge({int64_t{4} << 20}, at::kFloat);
    EXPECT_GE(memory.bytes(), int64_t{16} << 20);
  }
  EXPECT_EQ(memory.bytes(), 0);
}

using namespace testing_support;

const cpu::SoftmaxKernels& kernels(base::Isa isa) {
  return kernels_for(isa, cpu::kSoftmaxScalar, cpu::kSoftmaxAvx2, cpu::kSoftmaxAvx512);
}

at::Tensor labels_for(int64_t n, int64_t vocabulary) {
  return at::arange(n, at::kLong).mul_(7919).remainder_(vocabulary);
}

// |a - b| over the largest |b|: gradients of unlikely words are tiny and matter little. Logits of size 15,
// rounded to fp32, make relative errors of a few 1e-6 in the probabilities.
double scaled_error(const at::Tensor& a, const at::Tensor& b) {
  if (b.numel() == 0) return 0;
  const double largest = b.detach().abs().max().item<double>();
  return (a.detach().to(at::kDouble) - b.detach()).abs().max().item<double>() / (largest + 1e-30);
}

struct Shape {
  int64_t n, c, v;
};

void expect_like_reference(const Shape& s, at::ScalarType type, double limit, const at::Tensor& labels,
                           int64_t ignore_index) {
  SCOPED_TRACE(fmt::format("N={} C={} V={} {}", s.n, s.c, s.v, c10::toString(type)));
  const at::Tensor hidden = leaf(values({s.n, s.c}, type)), weight = leaf(values({s.v, s.c}, type, 0.5, 2));
  const at::Tensor loss = linear_cross_entropy(hidden, weight, labels, ignore_index);
  const at::Tensor expected = reference::linear_cross_entropy(hidden, weight, labels, ignore_index);
  EXPECT_EQ(loss.scalar_type(), at::kFloat);
  EXPECT_EQ(loss.dim(), 0);
  EXPECT_NEAR(loss.item<double>(), expected.item<double>(), 2e-6 * (1 + expected.item<double>()));
  const auto got = torch::autograd::grad({loss * 0.37}, {hidden, weight});
  const auto want = torch::autograd::grad({expected * 0.37}, {hidden, weight});
  EXPECT_EQ(got[0].scalar_type(), type);
  EXPECT_EQ(got[1].scalar_type(), type);
  EXPECT_LT(scaled_error(got[0], want[0].to(at::kDouble)), limit);
  EXPECT_LT(scaled_error(got[1], want[1].to(at::kDouble)), limit);
}

TEST(CrossEntropyKernels, AgreeWithTheReferenceForEveryInstructionSet) {
  for (base::Isa isa : runnable_isas())
    for (const Shape& s : {Shape{1, 3, 5}, Shape{7, 16, 40}, Shape{70, 8, 5001}, Shape{513, 4, 1500}}) {
      SCOPED_TRACE(fmt::format("{} N={} C={} V={}", base::isa_name(isa), s.n, s.c, s.v));
      const at::Tensor hidden = leaf(values({s.n, s.c})), weight = leaf(values({s.v, s.c}, at::kFloat, 1, 2));
      const CrossEntropyInputs in{hidden.detach(), weight.detach(), labels_for(s.n, s.v)};
      const CrossEntropyResult got = cross_entropy(kernels(isa), in, true, true);
      const at::Tensor expected = reference::linear_cross_entropy(hidden, weight, in.labels, -100);
      const double n = static_cast<double>(s.n);
      EXPECT_NEAR(got.loss / n, expected.item<double>(), 2e-6 * (1 + expected.item<double>()));
      EXPECT_NEAR(cross_entropy(kernels(isa), in, false, false).loss, got.loss,
                  1e-6 * (n + std::abs(got.loss)));
      const auto want = torch::autograd::grad({expected}, {hidden, weight});
      EXPECT_LT(scaled_error(got.hidden, want[0].to(at::kDouble)), 2e-5);
      EXPECT_LT(scaled_error(got.weight, want[1].to(at::kDouble)), 2e-5);
    }
}

TEST(CrossEntropyKernels, SurviveLogitsOfAnySize) {
  for (base::Isa isa : runnable_isas()) {
    SCOPED_TRACE(base::isa_name(isa));
    // One word a block of 512 or more, so that the largest logit is found early, late, and after blocks of
    // -infinity.
    const int64_t v = 2000;
    for (int64_t peak : {0, 700, 1999}) {
      at::Tensor weight = at::full({v, 1}, -INFINITY);
      weight[peak] = 300.0f;
      weight[1000] = 299.0f;
      const at::Tensor hidden = at::ones({600, 1}), labels = at::full({600}, peak, at::kLong);
      const CrossEntropyResult got = cross_entropy(kernels(isa), {hidden, weight, labels}, false, true);
      EXPECT_NEAR(got.loss / 600, std::log1p(std::exp(-1.0)), 1e-4);
      EXPECT_NEAR(got.weight[1000].item<double>(), 1 / (1 + std::exp(1.0)), 1e-4);
      EXPECT_EQ(got.weight[500].item<double>(), 0);
    }
    const at::Tensor nan = at::full({v, 1}, NAN);
    EXPECT_TRUE(std::isnan(
        cross_entropy(kernels(isa), {at::ones({2, 1}), nan, at::zeros({2}, at::kLong)}, true, true).loss));
  }
}

TEST(CrossEntropyPlan, BoundsTheTileAndKeepsTilesEven) {
  for (int64_t v : {1, 100, 32000, 50257, 128256, 1000000})
    for (int64_t n : {1, 17, 512, 4096}) {
      const CrossEntropyPlan with = plan_cross_entropy(n, v, true), without = plan_cross_entropy(n, v, false);
      EXPECT_LE(with.rows * v * 4, int64_t{128} << 20) << n << " " << v;
      EXPECT_LE(without.rows * without.words * 4, int64_t{4} << 20) << n << " " << v;
      EXPECT_GE(with.rows, 1);
      EXPECT_LE(with.words, v);
    }
  EXPECT_EQ(plan_cross_entropy(512, 50257, true).rows, 512);
  EXPECT_EQ(plan_cross_entropy(1024, 50257, true).rows, 512);
  EXPECT_EQ(plan_cross_entropy(1024, 100000, true).rows, 256);
}

TEST(LinearCrossEntropy, EqualsTheReferenceInForwardAndBackward) {
  for (const Shape& s :
       {Shape{1, 1, 1}, Shape{1, 3, 2}, Shape{5, 17, 33}, Shape{40, 64, 3000}, Shape{600, 33, 1001}})
    expect_like_reference(s, at::kFloat, 2e-5, labels_for(s.n, s.v), -100);
}

TEST(LinearCrossEntropy, AddsABiasAndGivesItsGradient) {
  for (auto [type, limit] : {std::pair{at::kFloat, 2e-5}, {at::kBFloat16, 1.2e-2}})
    for (const Shape& s : {Shape{1, 3, 2}, Shape{40, 64, 3000}, Shape{600, 33, 1001}}) {
      SCOPED_TRACE(fmt::format("N={} V={} {}", s.n, s.v, c10::toString(type)));
      const at::Tensor hidden = leaf(values({s.n, s.c}, type)),
                       weight = leaf(values({s.v, s.c}, type, 0.5, 2)),
                       bias = leaf(values({s.v}, type, 0.5, 3));
      at::Tensor labels = labels_for(s.n, s.v);
      if (s.n > 1) labels[s.n / 2] = -100;
      const at::Tensor loss = linear_cross_entropy(hidden, weight, labels, -100, bias);
      const at::Tensor expected = reference::linear_cross_entropy(hidden, weight, labels, -100, bias);
      EXPECT_NEAR(loss.item<double>(), expected.item<double>(), 2e-6 * (1 + expected.item<double>()));
      const auto got = torch::autograd::grad({loss * 0.37}, {hidden, weight, bias});
      const auto want = torch::autograd::grad({expected * 0.37}, {hidden, weight, bias});
      for (size_t i = 0; i < 3; ++i) EXPECT_LT(scaled_error(got[i], want[i].to(at::kDouble)), limit) << i;
      const at::Tensor frozen = linear_cross_entropy(hidden.detach(), weight.detach(), labels, -100, bias);
      EXPECT_TRUE(torch::autograd::grad({frozen}, {bias})[0].equal(
          torch::autograd::grad({linear_cross_entropy(hidden, weight, labels, -100, bias)}, {bias})[0]));
    }
  EXPECT_THROW(linear_cross_entropy(values({2, 3}), values({5, 3}), labels_for(2, 5), -100, values({4})),
               base::Error);
}

// In bf16 the slope of the cap, 1 - (logit / cap)^2, is that of a logit rounded once more: twice its unit of
// 2^-8 beside what gradients without a cap are held to.
TEST(LinearCrossEntropy, CapsItsLogits) {
  for (auto [type, limit] : {std::pair{at::kFloat, 2e-5}, {at::kBFloat16, 1.2e-2 + 2 * 0x1p-8}})
    for (const double cap : {0.5, 3.0, 60.0})
      for (const Shape& s : {Shape{1, 3, 2}, Shape{40, 64, 3000}, Shape{600, 33, 1001}}) {
        SCOPED_TRACE(fmt::format("N={} V={} {} cap {}", s.n, s.v, c10::toString(type), cap));
        const at::Tensor hidden = leaf(values({s.n, s.c}, type)),
                         weight = leaf(values({s.v, s.c}, type, 0.5, 2)),
                         bias = leaf(values({s.v}, type, 0.5, 3));
        at::Tensor labels = labels_for(s.n, s.v);
        if (s.n > 1) labels[s.n / 2] = -100;
        const at::Tensor loss = linear_cross_entropy(hidden, weight, labels, -100, bias, cap);
        const at::Tensor expected = reference::linear_cross_entropy(hidden, weight, labels, -100, bias, cap);
        const double exact = type == at::kFloat ? 2e-6 : 4e-3;  // capped logits are rounded once more
        EXPECT_NEAR(loss.item<double>(), expected.item<double>(), exact * (1 + expected.item<double>()));
        const auto got = torch::autograd::grad({loss * 0.37}, {hidden, weight, bias});
        const auto want = torch::autograd::grad({expected * 0.37}, {hidden, weight, bias});
        for (size_t i = 0; i < 3; ++i) EXPECT_LT(scaled_error(got[i], want[i].to(at::kDouble)), limit) << i;
      }
  // A label whose probability is 0 in fp32 still pulls.
  const at::Tensor hidden = leaf(at::tensor({1.0f, -1.0f}).view({1, 2})), weight = at::eye(2) * 1e3;
  linear_cross_entropy(hidden, weight, at::tensor({1L}), -100, std::nullopt, 2e3).backward();
  EXPECT_NEAR(hidden.grad()[0][1].item<double>(), -1e3 * (1 - std::pow(std::tanh(0.5), 2)), 0.1);
  EXPECT_THROW(linear_cross_entropy(hidden, weight, at::tensor({1L}), -100, std::nullopt, -1), base::Error);
}

TEST(LinearCrossEntropy, TakesBf16AndHalf) {
  for (const Shape& s : {Shape{3, 2, 2}, Shape{5, 17, 33}, Shape{130, 64, 3000}}) {
    expect_like_reference(s, at::kBFloat16, 1.2e-2, labels_for(s.n, s.v), -100);
    expect_like_reference(s, at::kHalf, 6e-4, labels_for(s.n, s.v), -100);
  }
  const at::Tensor hidden = values({9, 8}, at::kBFloat16), weight = values({11, 8}),
                   labels = labels_for(9, 11);
  EXPECT_NEAR(linear_cross_entropy(hidden, weight, labels).item<double>(),
              reference::linear_cross_entropy(hidden, weight, labels, -100).item<double>(), 1e-5);
}

// In an unsure model (p - 1) / N is nearly the same number in every row, so that its rounding to bf16 does
// not average out: whether a third is taken before or after it shows in the norm of the gradient.
TEST(LinearCrossEntropy, RoundsBf16GradientsAsIfTheLossFactorWereApplied) {
  const at::Tensor hidden = values({94, 16}, at::kBFloat16, 0.02) + 1, labels = labels_for(94, 257);
  const at::Tensor weight = leaf(values({257, 16}, at::kBFloat16, 0.02, 2));
  auto norm = [&](const at::Tensor& loss) {
    return torch::autograd::grad({loss / 3}, {weight})[0].to(at::kDouble).norm().item<double>();
  };
  const double want = norm(reference::linear_cross_entropy(hidden, weight, labels, -100));
  EXPECT_GT(std::abs(norm(linear_cross_entropy(hidden, weight, labels)) / want - 1), 5e-4);
  const LossFactor third(1.0 / 3);
  EXPECT_LT(std::abs(norm(linear_cross_entropy(hidden, weight, labels)) / want - 1), 1e-4);
  {
    const LossFactor inner(2);
    EXPECT_EQ(LossFactor::current(), 2);
  }
  EXPECT_EQ(LossFactor::current(), 1.0 / 3);
}

TEST(LinearCrossEntropy, LeavesIgnoredRowsOut) {
  for (int64_t ignore : {-100, 3}) {
    at::Tensor labels = labels_for(50, 33);
    labels.masked_fill_(at::arange(50).remainder(3) == 1, ignore);
    expect_like_reference({50, 17, 33}, at::kFloat, 2e-5, labels, ignore);
  }
  const at::Tensor hidden = leaf(values({2, 3})), weight = leaf(values({4, 3}));
  const at::Tensor loss = linear_cross_entropy(hidden, weight, at::full({2}, -100, at::kLong));
  EXPECT_TRUE(std::isnan(loss.item<float>()));
  EXPECT_TRUE(
      std::isnan(linear_cross_entropy(at::empty({0, 3}), weight, at::empty({0}, at::kLong)).item<float>()));
}

TEST(LinearCrossEntropy, TakesStridedInputs) {
  const at::Tensor hidden = values({7, 20}).t(),
                   weight = values({33, 14}, at::kFloat, 0.5, 2).narrow(1, 4, 7),
                   labels = labels_for(40, 33).view({20, 2}).select(1, 1);
  const auto like = [](const at::Tensor& t) { return t.detach().requires_grad_(); };
  const std::vector<at::Tensor> strided = {like(hidden), like(weight)},
                                plain = {leaf(hidden.contiguous()), leaf(weight.contiguous())};
  const at::Tensor loss = linear_cross_entropy(strided[0], strided[1], labels);
  const at::Tensor expected = reference::linear_cross_entropy(plain[0], plain[1], labels.contiguous(), -100);
  EXPECT_NEAR(loss.item<double>(), expected.item<double>(), 1e-5);
  const auto got = torch::autograd::grad({loss}, strided), want = torch::autograd::grad({expected}, plain);
  for (size_t i = 0; i < 2; ++i) EXPECT_LT(scaled_error(got[i], want[i].to(at::kDouble)), 2e-5) << i;
}

// An overflow must show in the loss and in the gradients, where training looks for it, and spoil no more of
// them than in ATen's composition.
TEST(LinearCrossEntropy, NanAndInfinitySpoilWhatTheySpoilInTheComposition) {
  const at::Tensor labels = at::tensor({0L, 4L, 2L, 4L});
  for (const double value : {NAN, INFINITY, -INFINITY})
    for (const size_t which : {0, 1}) {
      SCOPED_TRACE(fmt::format("{} of {}", value, which == 0 ? "hidden" : "weight"));
      std::vector<at::Tensor> inputs = {values({4, 3}), values({5, 3}, at::kFloat, 1, 2)};
      inputs[which][1][2] = value;
      const std::vector<at::Tensor> ours = {leaf(inputs[0]), leaf(inputs[1])},
                                    theirs = {leaf(inputs[0]), leaf(inputs[1])};
      const at::Tensor loss = linear_cross_entropy(ours[0], ours[1], labels);
      const at::Tensor expected = at::cross_entropy_loss(at::matmul(theirs[0], theirs[1].t()), labels);
      EXPECT_EQ(std::isfinite(loss.item<float>()), std::isfinite(expected.item<float>()));
      const auto got = torch::autograd::grad({loss}, ours), want = torch::autograd::grad({expected}, theirs);
      for (size_t i = 0; i < 2; ++i) {
        const at::Tensor finite = want[i].isfinite();
        EXPECT_TRUE(got[i].isfinite().equal(finite)) << "gradient " << i << got[i] << want[i];
        EXPECT_TRUE(at::allclose(got[i].masked_select(finite), want[i].masked_select(finite), 1e-4, 1e-5))
            << i;
      }
    }
}

TEST(LinearCrossEntropy, AnIgnoredRowOfNanSpoilsNothing) {
  const at::Tensor clean = values({4, 3}), weight = leaf(values({5, 3}));
  at::Tensor hidden = clean.clone();
  hidden[2].fill_(NAN);
  const at::Tensor loss = linear_cross_entropy(leaf(hidden), weight, at::tensor({0L, 1L, -100L, 4L}));
  loss.backward();
  EXPECT_TRUE(std::isfinite(loss.item<float>()));
  EXPECT_TRUE(weight.grad().isfinite().all().item<bool>());
}

TEST(LinearCrossEntropy, MayBeDifferentiatedTwiceWhenTheGraphIsKept) {
  const at::Tensor hidden = leaf(values({20, 8})), weight = leaf(values({30, 8}, at::kFloat, 1, 2));
  const at::Tensor loss = linear_cross_entropy(hidden, weight, labels_for(20, 30)) * 3;
  const auto first = torch::autograd::grad({loss}, {hidden, weight}, {}, true);
  const at::Tensor kept = first[1].clone();
  const auto second = torch::autograd::grad({loss}, {hidden, weight});
  EXPECT_TRUE(at::equal(kept, first[1]));
  EXPECT_TRUE(at::equal(first[0], second[0]));
  EXPECT_TRUE(at::equal(first[1], second[1]));
}

TEST(LinearCrossEntropy, HandsItsWeightGradientOverWithoutACopy) {
  const at::Tensor weight = leaf(values({3000, 8})), hidden = values({4, 8});
  linear_cross_entropy(hidden, weight, labels_for(4, 3000)).backward();
  EXPECT_TRUE(weight.grad().is_contiguous());
  EXPECT_EQ(weight.grad().storage().use_count(), 1U);
  EXPECT_FALSE(hidden.grad().defined());
}

TEST(LinearCrossEntropy, NamesTheLabelThatIsOutsideTheVocabulary) {
  const at::Tensor hidden = values({3, 2}), weight = values({5, 2});
  for (int64_t bad : {5L, -1L})
    EXPECT_THAT(
        [&] {
          linear_cross_entropy(hidden, weight, at::tensor({0L, bad, 1L}));
        },
        testing::ThrowsMessage<base::Error>(
            fmt::format("linear_cross_entropy: label {} at position 1 is outside the vocabulary of 5", bad)));
  EXPECT_THROW(linear_cross_entropy(hidden, values({5, 3}), at::zeros({3}, at::kLong)), base::Error);
  EXPECT_THROW(linear_cross_entropy(hidden, weight, at::zeros({2}, at::kLong)), base::Error);
  EXPECT_THROW(linear_cross_entropy(hidden, weight, at::zeros({3}, at::kInt)), base::Error);
}

}  // namespace
}  // namespace deepspeed::ops
