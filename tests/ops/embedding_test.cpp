#include "deepspeed/ops/embedding.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <torch/csrc/autograd/autograd.h>

#include "deepspeed/accel/gradient_place.h"
#include "deepspeed/base/error.h"
#include "deepspeed/ops/linear_cross_entropy.h"

namespace deepspeed::ops {
namespace {

at::Tensor table(int64_t count, int64_t width, at::ScalarType type) {
  return at::arange(count * width, at::kFloat)
      .mul(0.37)
      .sin()
      .view({count, width})
      .to(type)
      .requires_grad_(true);
}

TEST(Embedding, RowsOfTheGradientAreThoseOfTheDenseOneInFp32) {
  for (at::ScalarType type : {at::kFloat, at::kBFloat16, at::kHalf})
    for (int64_t padding : {-1, 3}) {
      const at::Tensor ids = at::tensor({3, 7, 3, 0, 7, 7, 2, 9, 3, 7}, at::kLong).view({2, 5});
      const at::Tensor upstream = at::arange(60, at::kFloat).cos().view({2, 5, 6}).to(type);
      const at::Tensor dense = table(11, 6, type).detach().to(at::kFloat).requires_grad_(true),
                       rows = table(11, 6, type);
      const at::Tensor a = ops::embedding(dense, ids, padding),
                       b = ops::embedding(rows, ids, padding, TableGradient::kRows);
      EXPECT_TRUE(at::equal(a.to(type), b));
      a.backward(upstream.to(at::kFloat)), b.backward(upstream);
      ASSERT_TRUE(rows.grad().is_sparse());
      EXPECT_EQ(rows.grad()._indices().size(1), padding == 3 ? 4 : 5);
      EXPECT_TRUE(at::equal(rows.grad().to_dense(), dense.grad().to(type))) << type << padding;
    }
}

TEST(Embedding, ATiedTablesGradientIsTheSumOfBothUses) {
  const auto gradient = [](TableGradient kind) {
    const at::Tensor weight = table(50, 4, at::kFloat), ids = at::tensor({1, 49, 1, 7}, at::kLong);
    const at::Tensor x = ops::embedding(weight, ids, -1, kind);
    at::matmul(x, weight.t()).tanh().sum().backward();
    return weight.grad();
  };
  const at::Tensor got = gradient(TableGradient::kRows);
  EXPECT_FALSE(got.is_sparse());
  EXPECT_TRUE(at::equal(got, gradient(TableGradient::kDense)));
}

at::Tensor tied_loss(const at::Tensor& weight, TableGradient kind, int heads = 1) {
  const at::Tensor ids = at::tensor({1, 49, 1, 7}, at::kLong);
  const at::Tensor x = ops::embedding(weight, ids, -1, kind);
  at::Tensor loss = ops::linear_cross_entropy(x, weight, ids);
  for (int i = 1; i < heads; ++i) loss = loss + ops::linear_cross_entropy(x.cos(), weight, ids);
  return loss;
}

TEST(Embedding, ATiedHeadsGradientTakesTheRowsWhereItIs) {
  for (at::ScalarType type : {at::kFloat, at::kBFloat16}) {
    const at::Tensor weight = table(50, 4, type), dense = table(50, 4, type), memory = at::zeros({200}, type);
    const auto offer = accel::offer_gradient_place(
        weight, [&] { return at::from_blob(memory.data_ptr(), {200}, memory.options()); });
    tied_loss(weight, TableGradient::kRows).backward();
    tied_loss(dense, TableGradient::kDense).backward();
    EXPECT_EQ(weight.grad().data_ptr(), memory.data_ptr());
    EXPECT_TRUE(at::allclose(weight.grad(), dense.grad(), type == at::kFloat ? 1e-6 : 1e-2, 1e-6));
  }
}

TEST(Embedding, RowsAreAddedOnceHoweverManyHeadsAndBackwardsThereAre) {
  for (int heads : {1, 2, 3}) {
    const at::Tensor weight = table(50, 4, at::kFloat), dense = table(50, 4, at::kFloat);
    const at::Tensor a = tied_loss(weight, TableGradient::kRows, heads),
                     b = tied_loss(dense, TableGradient::kDense, heads);
    a.backward({}, /*retain_graph=*/true), a.backward();
    b.backward({}, /*retain_graph=*/true), b.backward();
    EXPECT_TRUE(at::allclose(weight.grad(), dense.grad(), 1e-5, 1e-6)) << heads;
  }
}

TEST(Embedding, RowsStayOutOfGradientsThatNobodyAskedThemFor) {
  const at::Tensor weight = table(50, 4, at::kFloat), ids = at::tensor({1, 49, 1, 7}, at::kLong);
  const at::Tensor x = ops::embedding(weight, ids, -1, TableGradient::kRows);
  const at::Tensor loss = ops::linear_cross_entropy(x.detach(), weight, ids);
  const at::Tensor head = torch::autograd::grad({loss}, {weight}, {}, /*retain_graph=*/true)[0];
  const at::Tensor kept = head.clone();
  torch::autograd::grad({x.sum()}, {weight});  // another backward: its rows are its own
  EXPECT_TRUE(at::equal(head, kept));
}

TEST(Embedding, NoLookupOrOnlyPaddingGivesNoRow) {
  const at::Tensor weight = table(5, 2, at::kFloat);
  ops::embedding(weight, at::full({3}, 4, at::kLong), 4, TableGradient::kRows).sum().backward();
  EXPECT_EQ(weight.grad()._indices().size(1), 0);
  EXPECT_EQ(ops::embedding(weight, at::empty({0}, at::kLong), -1, TableGradient::kRows).numel(), 0);
}

TEST(Embedding, NamesAnIdOutsideTheTable) {
  for (int64_t bad : {-1, 5, INT32_MAX}) try {
      ops::embedding(table(5, 2, at::kFloat), at::tensor({int64_t{0}, bad}, at::kLong));
      FAIL();
    } catch (const base::Error& error) {
      EXPECT_THAT(error.what(), testing::HasSubstr("at position 1 is outside the table of 5 rows"));
    }
  EXPECT_THROW(ops::embedding(table(5, 2, at::kFloat), at::zeros({2}, at::kInt)), base::Error);
}

}  // namespace
}  // namespace deepspeed::ops
