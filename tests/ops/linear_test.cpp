#include "deepspeed/ops/linear.h"

#include <gmock/gmock.h>

#include "deepspeed/accel/gradient_place.h"
#include "deepspeed/base/error.h"
#include "fused_support.h"

namespace deepspeed::ops {
namespace {

using namespace testing_support;

using Linear = at::Tensor (*)(const at::Tensor&, const at::Tensor&, const std::optional<at::Tensor>&,
                              WeightOrder);

struct Case {
  Linear op;
  at::ScalarType type;
  WeightOrder order;
  bool bias;
};

std::vector<Case> cases() {
  std::vector<Case> all;
  for (WeightOrder order : {WeightOrder::kOutIn, WeightOrder::kInOut})
    for (bool bias : {false, true}) {
      all.push_back({linear, at::kFloat, order, bias});
      all.push_back({linear, at::kBFloat16, order, bias});
      all.push_back({linear_by_fp32_products, at::kBFloat16, order, bias});
    }
  return all;
}

// In fp64, from the tensors as they are.
at::Tensor expected(const at::Tensor& x, const at::Tensor& w, const at::Tensor& b, WeightOrder order) {
  const at::Tensor product = at::matmul(x, order == WeightOrder::kOutIn ? w.t() : w);
  return b.defined() ? product + b : product;
}

// Leaves of x, weight and, where wanted, bias.
std::vector<at::Tensor> leaves(const Case& c, at::IntArrayRef shape, int64_t out) {
  const int64_t in = shape.back();
  std::vector<int64_t> weight = {out, in};
  if (c.order == WeightOrder::kInOut) std::swap(weight[0], weight[1]);
  std::vector<at::Tensor> all = {leaf(values(shape, c.type)), leaf(values(weight, c.type, 0.3, 2))};
  if (c.bias) all.push_back(leaf(values({out}, c.type, 1, 3)));
  return all;
}

at::Tensor run(const Case& c, const std::vector<at::Tensor>& inputs) {
  return c.op(inputs[0], inputs[1], c.bias ? std::optional(inputs[2]) : std::nullopt, c.order);
}

TEST(LinearOp, AndItsGradientsAreThoseOfTheReferenceRoundedOnce) {
  const std::vector<std::vector<int64_t>> shapes = {{1, 1},    {3, 7},   {2, 5, 33},
                                                    {2, 0, 4}, {40, 64}, {2, 30, 65}};
  for (const Case& c : cases())
    for (const auto& shape : shapes)
      for (int64_t out : {1, 5, 48}) {
        SCOPED_TRACE(fmt::format("{} [{}] -> {}, bias {}", c10::toString(c.type), fmt::join(shape, ", "), out,
                                 c.bias));
        const auto inputs = leaves(c, shape, out);
        std::vector<at::Tensor> exact;
        for (const auto& t : inputs) exact.push_back(leaf(t.to(at::kDouble)));
        const at::Tensor y = run(c, inputs);
        const at::Tensor want = expected(exact[0], exact[1], c.bias ? exact[2] : at::Tensor(), c.order);
        ASSERT_EQ(y.sizes(), want.sizes());
        EXPECT_EQ(y.scalar_type(), c.type);
        EXPECT_LT(error(y, want), tolerance(c.type));
        const at::Tensor dy = values(y.sizes(), c.type, 1, 4);
        const auto got = gradients(y, inputs, dy), wanted = gradients(want, exact, dy.to(at::kDouble));
        for (size_t i = 0; i < got.size(); ++i) {
          EXPECT_EQ(got[i].sizes(), inputs[i].sizes());
          EXPECT_LT(error(got[i], wanted[i]), tolerance(c.type)) << "input " << i;
        }
      }
}

TEST(LinearOp, TakesStridedInputs) {
  for (const Case& c : cases()) {
    const at::Tensor wide = values({6, 20}, c.type), w = values({8, 10}, c.type, 1, 2);
    const at::Tensor x = wide.narrow(1, 5, 10);
    const at::Tensor weight = c.order == WeightOrder::kOutIn ? w : w.t();
    const at::Tensor want = expected(x.to(at::kDouble), weight.to(at::kDouble), at::Tensor(), c.order);
    EXPECT_LT(error(c.op(x, weight, std::nullopt, c.order), want), tolerance(c.type));
  }
}

// As sum() gives it, of sizes that processors with a kernel of our own (ops/gemm.h) use it for.
TEST(LinearOp, TakesAnExpandedGradient) {
  for (const Case& c : cases()) {
    const auto inputs = leaves(c, {64, 50}, 70);
    std::vector<at::Tensor> exact;
    for (const auto& t : inputs) exact.push_back(leaf(t.to(at::kDouble)));
    run(c, inputs).sum().backward();
    expected(exact[0], exact[1], c.bias ? exact[2] : at::Tensor(), c.order).sum().backward();
    for (size_t i = 0; i < inputs.size(); ++i)
      EXPECT_LT(error(inputs[i].grad(), exact[i].grad()), tolerance(c.type)) << "input " << i;
  }
}

TEST(LinearOp, LeavesTheWeightsGradientWhereItIsCollected) {
  for (const Case& c : cases()) {
    const auto inputs = leaves(c, {64, 50}, 70);
    const at::Tensor place = at::full(inputs[1].sizes(), NAN, inputs[1].options().requires_grad(false)),
                     dy = values({64, 70}, c.type, 1, 4);
    const auto offer = accel::offer_gradient_place(inputs[1], [&] { return place; });
    const auto got = gradients(run(c, inputs), inputs, dy);
    const at::Tensor product = at::mm(inputs[0].detach().to(at::kDouble).t(), dy.to(at::kDouble));
    EXPECT_EQ(got[1].data_ptr(), place.data_ptr());
    EXPECT_LT(error(place, c.order == WeightOrder::kOutIn ? product.t() : product), tolerance(c.type));
  }
}

TEST(LinearOp, PassesNotANumberAndInfinityOn) {
  for (const Case& c : cases()) {
    auto inputs = leaves(c, {2, 4}, 3);
    at::Tensor x = inputs[0].detach().clone();
    x[0][1] = NAN;
    x[1][2] = INFINITY;
    inputs[0] = leaf(x);
    const at::Tensor y = run(c, inputs);
    EXPECT_TRUE(y[0].isnan().all().item<bool>());
    EXPECT_TRUE(at::logical_not(y[1].isfinite()).all().item<bool>());
  }
}

TEST(LinearOp, GivesOnlyTheGradientsThatAreWanted) {
  for (const Case& c : cases()) {
    auto inputs = leaves(c, {2, 4}, 3);
    inputs[1].set_requires_grad(false);
    const at::Tensor y = run(c, inputs);
    y.sum().backward();
    EXPECT_TRUE(inputs[0].grad().defined());
    EXPECT_FALSE(inputs[1].grad().defined());
  }
}

TEST(LinearOp, BySlowProductsRefusesASecondDerivative) {
  const Case c{linear_by_fp32_products, at::kBFloat16, WeightOrder::kInOut, false};
  const auto inputs = leaves(c, {2, 4}, 3);
  const at::Tensor y = run(c, inputs);
  EXPECT_THROW(torch::autograd::grad({y.sum()}, {inputs[0]}, {}, std::nullopt, /*create_graph=*/true),
               base::Error);
}

}  // namespace
}  // namespace deepspeed::ops
