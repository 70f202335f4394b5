// The formulas that compute the fused ops where there is no kernel of ours, against the kernels, on the CPU:
// values and gradients.
#include "deepspeed/ops/formulas.h"

#include <gtest/gtest.h>

#include "deepspeed/ops/layer_norm.h"
#include "deepspeed/ops/linear_cross_entropy.h"
#include "deepspeed/ops/rms_norm.h"
#include "deepspeed/ops/sum_squares.h"
#include "deepspeed/ops/swiglu.h"
#include "tests/ops/fused_support.h"
#include "tests/ops/update_support.h"

namespace deepspeed::ops {
namespace {

using testing_support::error;
using testing_support::gradients;
using testing_support::leaf;
using testing_support::values;

using Tensors = std::vector<at::Tensor>;
using Compute = std::function<at::Tensor(const Tensors&)>;

// Several roundings to 16 bits lie between two ways of computing the same.
double room(at::ScalarType type) { return 4 * testing_support::tolerance(type); }

void expect_alike(const char* what, const Compute& kernel, const Compute& formula, const Tensors& inputs) {
  const at::ScalarType type = inputs[0].scalar_type();
  Tensors a, b;
  for (const at::Tensor& t : inputs) a.push_back(leaf(t)), b.push_back(leaf(t));
  const at::Tensor y = kernel(a), z = formula(b);
  EXPECT_EQ(y.scalar_type(), z.scalar_type()) << what;
  EXPECT_LT(error(z, y), room(type)) << what << " " << c10::toString(type);
  const at::Tensor dy = values(y.sizes(), y.scalar_type(), 1, 99);
  const Tensors dx = gradients(y, a, dy), dz = gradients(z, b, dy);
  for (size_t i = 0; i < dx.size(); ++i)
    EXPECT_LT(error(dz[i], dx[i]), room(type)) << what << " gradient " << i << " " << c10::toString(type);
}

constexpr at::ScalarType kTypes[] = {at::kFloat, at::kBFloat16};

TEST(Formulas, ActivationsAreTheKernels) {
  for (const auto type : kTypes) {
    for (const auto kind : {GeluKind::kTanh, GeluKind::kErf})
      expect_alike(
          "gelu", [&](const Tensors& t) { return ops::gelu(t[0], kind); },
          [&](const Tensors& t) { return formula::gelu(t[0], kind); }, {values({5, 33}, type)});
    expect_alike(
        "swiglu", [](const Tensors& t) { return ops::swiglu(t[0], t[1]); },
        [](const Tensors& t) { return formula::swiglu(t[0], t[1]); },
        {values({5, 33}, type), values({5, 33}, type, 1, 2)});
  }
}

TEST(Formulas, NormsAreTheKernels) {
  for (const auto type : kTypes)
    for (const auto weight_type : {type, at::kFloat}) {
      const Tensors in{values({7, 40}, type, 2), values({40}, weight_type, 1, 2),
                       values({40}, weight_type, 1, 3)};
      expect_alike(
          "layer_norm", [](const Tensors& t) { return ops::layer_norm(t[0], t[1], t[2], 1e-5); },
          [](const Tensors& t) { return formula::layer_norm(t[0], t[1], t[2], 1e-5); }, in);
      expect_alike(
          "rms_norm", [](const Tensors& t) { return ops::rms_norm(t[0], t[1], 1e-6); },
          [](const Tensors& t) { return formula::rms_norm(t[0], t[1], 1e-6, RmsWeight::kPlain); },
          {in[0], in[1]});
      expect_alike(
          "rms_norm from one",
          [](const Tensors& t) { return ops::rms_norm(t[0], t[1], 1e-6, RmsWeight::kFromOne); },
          [](const Tensors& t) { return formula::rms_norm(t[0], t[1], 1e-6, RmsWeight::kFromOne); },
          {in[0], in[1]});
    }
}

TEST(Formulas, LinearCrossEntropyIsTheKernel) {
  const at::Tensor labels = at::arange(12) * 5 % 31;
  labels[3] = -100;
  for (const auto type : kTypes)
    for (const double softcap : {0.0, 3.0}) {
      const Tensors in{values({12, 16}, type), values({31, 16}, type, 0.3, 2), values({31}, type, 1, 3)};
      expect_alike(
          "linear_cross_entropy",
          [&](const Tensors& t) {
            return ops::linear_cross_entropy(t[0], t[1], labels, -100, t[2], softcap);
          },
          [&](const Tensors& t) {
            return formula::linear_cross_entropy(t[0], t[1], labels, -100, t[2], softcap);
          },
          in);
    }
}

std::vector<AttentionOptions> attention_cases(int64_t batch, int64_t length, int64_t heads) {
  AttentionOptions plain, open, window, packed, padded, alibi, dropout;
  open.causal = padded.causal = false;
  window.window = 3;
  packed.first_key = (at::arange(length).div(4, "floor") * 4).to(at::kInt).repeat({batch, 1});
  padded.end_key = at::arange(length - batch, length).to(at::kInt);
  alibi.alibi_slopes = ops::alibi_slopes(heads);
  dropout.dropout_p = 0.3;
  dropout.rng = {7, 9};
  return {plain, open, window, packed, padded, alibi, dropout};
}

TEST(Formulas, AttentionIsTheKernel) {
  for (const auto type : kTypes)
    for (const int64_t kv_heads : {4, 2})
      for (const auto& options : attention_cases(2, 11, 4))
        expect_alike(
            "attention", [&](const Tensors& t) { return ops::attention(t[0], t[1], t[2], options); },
            [&](const Tensors& t) { return formula::attention(t[0], t[1], t[2], options); },
            {values({2, 4, 11, 8}, type), values({2, kv_heads, 11, 8}, type, 1, 2),
             values({2, kv_heads, 11, 8}, type, 1, 3)});
}

TEST(Formulas, AttentionOverACacheIsTheKernel) {
  for (const int64_t queries : {1, 3}) {
    const at::Tensor q = values({1, 2, queries, 8}), k = values({1, 2, 9, 8}, at::kFloat, 1, 2),
                     v = values({1, 2, 9, 8}, at::kFloat, 1, 3);
    EXPECT_LT(error(formula::attention(q, k, v, {}), ops::attention(q, k, v, {})), 1e-5) << queries;
  }
}

TEST(Formulas, SumsOfSquaresAreTheKernels) {
  for (const auto type : {at::kFloat, at::kBFloat16, at::kHalf}) {
    const at::Tensor x = values({4099}, type);
    EXPECT_NEAR(formula::sum_squares(x) / ops::sum_squares(x), 1, 1e-9) << c10::toString(type);
  }
  EXPECT_TRUE(std::isinf(formula::sum_squares(at::full({3}, INFINITY))));
  EXPECT_TRUE(std::isnan(formula::sum_squares(at::full({3}, NAN))));
  EXPECT_NEAR(formula::sum_squares(at::full({4}, 1e30)), 4e60, 1e54);
}

TEST(Formulas, UpdatesAreTheKernels) {
  const auto near = [](const testing::State& a, const testing::State& b, const char* what) {
    const auto left = a.written(), right = b.written();
    for (size_t i = 0; i < left.size(); ++i)
      EXPECT_LT(error(left[i], right[i]), testing_support::tolerance(right[i].scalar_type()))
          << what << " " << i;
  };
  for (const auto& formats :
       {testing::Formats{}, testing::Formats{.grad = at::kBFloat16, .copy = at::kBFloat16}})
    for (const double decay : {0.0, 0.1}) {
      const testing::State a = testing::random_state(333, 1, formats), b = a.clone();
      for (int64_t step = 1; step <= 3; ++step) {
        const AdagradArgs args{
            .lr = 0.1, .lr_decay = 0.01, .weight_decay = decay, .step = step, .grad_scale = 0.5};
        ops::adagrad_step(a.param, a.grad, a.states[0], args, a.copy);
        formula::adagrad_step(b.param, b.grad, b.states[0], args, b.copy);
      }
      near(b, a, "adagrad");
      const testing::State c = testing::random_state(333, 1, formats), d = c.clone();
      const LionArgs args{.lr = 0.01, .weight_decay = decay, .grad_scale = 0.5};
      for (int step = 0; step < 3; ++step) {
        ops::lion_step(c.param, c.grad, c.states[0], args, c.copy);
        formula::lion_step(d.param, d.grad, d.states[0], args, d.copy);
      }
      near(d, c, "lion");
    }
}

}  // namespace
}  // namespace deepspeed::ops
