#include "deepspeed/tensor_parallel/joint.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "deepspeed/comm/ranks.h"

namespace deepspeed::tensor_parallel {
namespace {

// y = sum over ranks of enter(x) * (rank + 1): its gradient in x is 1 + 2 + 3, on every rank.
TEST(Joint, EnteringSumsGradientsAndSummingPassesThemOn) {
  comm::run_ranks(3, [](comm::GroupPtr group) {
    const at::Tensor x = at::arange(5, at::kFloat).requires_grad_();
    const at::Tensor y = sum(enter(x, group) * (group->rank() + 1), group);
    EXPECT_TRUE(at::equal(y, x * 6));
    (y * at::arange(5)).sum().backward();
    EXPECT_TRUE(at::equal(x.grad(), 6 * at::arange(5, at::kFloat)));
  });
}

TEST(Joint, ConcatenatesUnevenPartsAndGivesEachItsGradient) {
  comm::run_ranks(3, [](comm::GroupPtr group) {
    const std::vector<int64_t> sizes = {2, 1, 3};
    const int64_t rank = group->rank(), begin = rank == 0 ? 0 : rank + 1;
    const at::Tensor all = at::arange(12, at::kFloat).view({2, 6});
    const at::Tensor part = all.narrow(1, begin, sizes[static_cast<size_t>(rank)]).clone().requires_grad_();
    const at::Tensor whole = concatenate(part, sizes, group);
    EXPECT_TRUE(at::equal(whole, all));
    (whole * all).sum().backward();
    EXPECT_TRUE(at::equal(part.grad(), part));
    const at::NoGradGuard no_grad;
    EXPECT_TRUE(at::equal(concatenate(part, sizes, group), all));
  });
}

TEST(Joint, SumsInPlaceWhereNoGradientIsRecorded) {
  comm::run_ranks(2, [](comm::GroupPtr group) {
    const at::NoGradGuard no_grad;
    const at::Tensor part = at::full({3}, group->rank() + 1.0f);
    EXPECT_EQ(sum(part, group).data_ptr(), part.data_ptr());
    EXPECT_TRUE(at::equal(part, at::full({3}, 3.0f)));
    // Not its own memory: the source of a view stays as it is.
    const at::Tensor matrix = at::arange(4, at::kFloat).view({2, 2});
    EXPECT_TRUE(at::equal(sum(matrix.t(), group), 2 * matrix.t()));
    EXPECT_EQ(matrix[0][1].item<float>(), 1);
  });
}

}  // namespace
}  // namespace deepspeed::tensor_parallel
