// Fused ops under autocast do what ATen's compositions do there.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "deepspeed/accel/autocast.h"
#include "deepspeed/ops/attention.h"
#include "deepspeed/ops/dropout.h"
#include "deepspeed/ops/linear_cross_entropy.h"
#include "fused_support.h"

namespace deepspeed::ops {
namespace {

using testing_support::error;
using testing_support::gradients;
using testing_support::leaf;
using testing_support::values;

TEST(OpsUnderAutocast, AttentionIsAtensOfCastInputs) {
  const at::Tensor q = leaf(values({2, 3, 9, 8}, at::kFloat, 1, 1)),
                   k = leaf(values({2, 3, 9, 8}, at::kFloat, 1, 2)),
                   v = leaf(values({2, 3, 9, 8}, at::kFloat, 1, 3));
  const at::Tensor upstream = values({2, 3, 9, 8}, at::kBFloat16, 1, 4);
  const accel::Autocast region(at::kBFloat16);
  const at::Tensor ours = attention(q, k, v), want = at::scaled_dot_product_attention(q, k, v, {}, 0, true);
  ASSERT_EQ(want.scalar_type(), at::kBFloat16);
  EXPECT_EQ(ours.scalar_type(), at::kBFloat16);
  EXPECT_LE(error(ours, want), 5e-3);
  const auto mine = gradients(ours, {q, k, v}, upstream), theirs = gradients(want, {q, k, v}, upstream);
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(mine[i].scalar_type(), at::kFloat);
    EXPECT_LE(error(mine[i], theirs[i]), 2e-2);
  }
}

TEST(OpsUnderAutocast, FusedAttentionGivesTheBitsOfSlices) {
  const at::Tensor qkv = values({2, 7, 3 * 16});
  const accel::Autocast region(at::kHalf);
  const at::Tensor fused = attention_fused(qkv, 2);
  EXPECT_EQ(fused.scalar_type(), at::kHalf);
  const auto part = [&](int64_t i) { return qkv.narrow(2, 16 * i, 16).view({2, 7, 2, 8}).transpose(1, 2); };
  EXPECT_TRUE(fused.equal(attention(part(0), part(1), part(2)).transpose(1, 2).reshape({2, 7, 16})));
}

TEST(OpsUnderAutocast, LinearCrossEntropyIsALinearLayerIn16BitsAndAnFp32Softmax) {
  const at::Tensor hidden = leaf(values({11, 16})), weight = leaf(values({29, 16}, at::kFloat, 0.3, 2)),
                   bias = leaf(values({29}, at::kFloat, 0.3, 3));
  const at::Tensor labels = at::arange(11, at::kLong);
  const accel::Autocast region(at::kBFloat16);
  const at::Tensor logits = at::linear(hidden, weight, bias);
  ASSERT_EQ(logits.scalar_type(), at::kBFloat16);
  const at::Tensor want = at::cross_entropy_loss(logits.to(at::kFloat), labels);
  const at::Tensor ours = linear_cross_entropy(hidden, weight, labels, -100, bias);
  EXPECT_EQ(ours.scalar_type(), at::kFloat);
  EXPECT_LE(error(ours, want), 2e-3);
  // Without the cast of its inputs the loss would be another one.
  at::Tensor exact;
  {
    const accel::Autocast off(std::nullopt);
    exact = linear_cross_entropy(hidden, weight, labels, -100, bias);
  }
  EXPECT_NE(ours.item<float>(), exact.item<float>());
  const at::Tensor one = at::ones({});
  const auto mine = gradients(ours, {hidden, weight, bias}, one),
             theirs = gradients(want, {hidden, weight, bias}, one);
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(mine[i].scalar_type(), at::kFloat);
    EXPECT_TRUE(mine[i].equal(mine[i].to(at::kBFloat16).to(at::kFloat)));  // through a 16-bit gradient
    EXPECT_LE(error(mine[i], theirs[i]), 5e-3);
  }
}

TEST(OpsUnderAutocast, A16BitOutputIsAddedToAnFp32Sum) {
  const at::Tensor residual = leaf(values({40})), x = leaf(values({40}, at::kBFloat16, 1, 2));
  const accel::RngKey key{3, 4};
  const at::Tensor y = dropout_add(residual, x, 0.25, key);
  EXPECT_EQ(y.scalar_type(), at::kFloat);
  EXPECT_TRUE(y.equal(residual + dropout(x, 0.25, key)));
  const auto both = gradients(y, {residual, x}, at::ones({40}));
  EXPECT_EQ(both[0].scalar_type(), at::kFloat);
  EXPECT_EQ(both[1].scalar_type(), at::kBFloat16);
  EXPECT_TRUE(both[1].equal(dropout(at::ones({40}, at::kBFloat16), 0.25, key)));
  EXPECT_TRUE(dropout_add(residual, x, 0, key).equal(residual + x));
}

}  // namespace
}  // namespace deepspeed::ops
