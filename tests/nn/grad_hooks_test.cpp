#include "deepspeed/nn/grad_hooks.h"

#include <gtest/gtest.h>

#include "deepspeed/base/error.h"

namespace deepspeed::nn {
namespace {

TEST(GradHooks, CallEveryListenerInOrderAndForgetDroppedOnes) {
  at::Tensor w = at::ones({2}).requires_grad_(true);
  std::string heard;
  auto first = on_gradient(w, [&](const at::Tensor& p) { heard += p.grad().defined() ? "1" : "?"; });
  auto second = on_gradient(w, [&](const at::Tensor&) { heard += "2"; });
  (w * 3).sum().backward();
  EXPECT_EQ(heard, "12");
  first.reset();
  (w * 3).sum().backward();
  EXPECT_EQ(heard, "122");
}

TEST(GradHooks, AListenerMayDropItselfWhileCalled) {
  at::Tensor w = at::ones({2}).requires_grad_(true);
  int calls = 0;
  GradSubscription self;
  self = on_gradient(w, [&](const at::Tensor&) {
    ++calls;
    self.reset();
  });
  (w * 3).sum().backward();
  (w * 3).sum().backward();
  EXPECT_EQ(calls, 1);
}

TEST(GradHooks, AListenerMayFreeTheGradient) {
  at::Tensor w = at::ones({2}).requires_grad_(true);
  auto subscription = on_gradient(w, [&](const at::Tensor& p) { p.mutable_grad().reset(); });
  (w * 3).sum().backward();
  EXPECT_FALSE(w.grad().defined());
}

struct ForeignHook : torch::autograd::PostAccumulateGradHook {
  void operator()(const at::Tensor&) override {}
};

TEST(GradHooks, RefuseToReplaceAForeignHookAndNonLeaves) {
  at::Tensor w = at::ones({2}).requires_grad_(true);
  torch::autograd::impl::set_post_acc_grad_hooks(w, std::make_unique<ForeignHook>());
  EXPECT_THROW((void)on_gradient(w, [](const at::Tensor&) {}), base::Error);
  at::Tensor v = at::ones({2}).requires_grad_(true);
  EXPECT_THROW((void)on_gradient(v * 2, [](const at::Tensor&) {}), base::Error);
  EXPECT_THROW((void)on_gradient(at::ones({2}), [](const at::Tensor&) {}), base::Error);
}

}  // namespace
}  // namespace deepspeed::nn
