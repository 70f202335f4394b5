#include "deepspeed/nn/moe.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <algorithm>
#include <cmath>

#include "deepspeed/base/error.h"
#include "deepspeed/nn/materializer.h"

namespace deepspeed::nn {
namespace {

MoeConfig config(int64_t experts, int64_t chosen, bool normalised, int64_t shared = 0) {
  return {.expert = {.hidden = 8,
                     .intermediate = 12,
                     .activation = Activation::kSwiGlu,
                     .weight_init = Init::normal(0.5),
                     .output_init = Init::normal(0.5)},
          .experts = experts,
          .chosen = chosen,
          .normalised = normalised,
          .shared_intermediate = shared,
          .router_init = Init::normal(0.5)};
}

std::shared_ptr<Moe> made(const MoeConfig& c) {
  auto moe = std::make_shared<Moe>(c);
  DenseMaterializer().materialize(list_parameters(*moe), InitSource(3));
  return moe;
}

at::Tensor feed(Moe& moe, const std::string& name, const at::Tensor& x) {
  const auto weights = moe.named_parameters();
  const auto weight = [&](const char* which) { return weights[name + "." + which + ".weight"]; };
  return at::linear(at::silu(at::linear(x, weight("gate"))) * at::linear(x, weight("up")), weight("down"));
}

// Every expert over every token, and then only what was chosen.
at::Tensor obvious(Moe& moe, const MoeConfig& c, const at::Tensor& x) {
  const at::Tensor probability = at::softmax(at::linear(x, moe.named_parameters()["router.weight"]), -1);
  const auto [kept, which] = probability.topk(c.chosen, -1);
  at::Tensor share = at::zeros_like(probability).scatter(-1, which, kept);
  if (c.normalised) share = share / share.sum(-1, true);
  at::Tensor y = at::zeros_like(x);
  for (int64_t e = 0; e < c.experts; ++e)
    y = y + share.select(-1, e).unsqueeze(-1) * feed(moe, "experts." + std::to_string(e), x);
  if (c.shared_intermediate > 0)
    y = y + at::sigmoid(at::linear(x, moe.named_parameters()["shared_gate.weight"])) * feed(moe, "shared", x);
  return y;
}

TEST(Moe, IsTheSumOfItsLikeliestExpertsInForwardAndBackward) {
  for (const MoeConfig& c : {config(5, 2, true), config(5, 2, false), config(4, 1, false), config(3, 3, true),
                             config(6, 2, false, 10)}) {
    auto moe = made(c);
    const at::Tensor x = at::randn({3, 7, 8}).requires_grad_(), grad = at::randn({3, 7, 8});
    const auto [y, logits] = moe->forward(x);
    const at::Tensor want = obvious(*moe, c, x);
    EXPECT_EQ(logits.sizes(), (at::IntArrayRef{21, c.experts}));
    EXPECT_TRUE(at::allclose(y, want, 1e-4, 1e-5));
    std::vector<at::Tensor> inputs = moe->parameters();
    inputs.push_back(x);
    const auto got = torch::autograd::grad({y}, inputs, {grad}),
               wanted = torch::autograd::grad({want}, inputs, {grad});
    for (size_t i = 0; i < inputs.size(); ++i) EXPECT_TRUE(at::allclose(got[i], wanted[i], 1e-4, 1e-5)) << i;
  }
}

TEST(Moe, ExpertsWithoutTokensRunToo) {
  for (at::ScalarType dtype : {at::kFloat, at::kBFloat16}) {
    const MoeConfig c = config(6, 2, true);
    auto moe = std::make_shared<Moe>(c);
    auto parameters = list_parameters(*moe);
    for (auto& parameter : parameters) parameter.dtype = dtype;
    DenseMaterializer().materialize(parameters, InitSource(3));
    size_t visited = 0;
    struct Count : BlockObserver {
      explicit Count(size_t& n) : n_(n) {}
      void before_forward(Block&) override { ++n_; }
      size_t& n_;
    };
    for (const auto& [name, block] : blocks_of(*moe))
      if (name.starts_with("experts.") && std::count(name.begin(), name.end(), '.') == 1)
        block->add_observer(std::make_shared<Count>(visited));
    moe->forward(at::ones({1, 1, 8}, dtype)).first.sum().backward();
    EXPECT_EQ(visited, 6u);
    int64_t touched = 0;
    for (int64_t e = 0; e < 6; ++e) {
      const at::Tensor gradient =
          moe->named_parameters()["experts." + std::to_string(e) + ".down.weight"].grad();
      ASSERT_TRUE(gradient.defined()) << e;
      EXPECT_TRUE(gradient.isfinite().all().item<bool>());
      touched += gradient.abs().sum().item<float>() > 0;
    }
    EXPECT_EQ(touched, 2);
  }
}

TEST(Moe, RefusesMoreExpertsATokenThanThereAre) {
  EXPECT_THROW(Moe(config(4, 5, true)), base::Error);
  EXPECT_THROW(Moe(config(4, 0, true)), base::Error);
}

TEST(BalanceLoss, IsTheNumberOfChosenWhereAllIsEvenAndOfAllWhereOneTakesAll) {
  const int64_t experts = 4;
  const at::Tensor even = at::eye(experts).repeat({3, 1}) * 1e-6;  // each is a likeliest equally often
  EXPECT_NEAR(balance_loss({even}, 1).item<double>(), 1, 1e-4);
  at::Tensor one = at::zeros({6, experts});
  one.select(1, 2).fill_(50);
  EXPECT_NEAR(balance_loss({one}, 1).item<double>(), 4, 1e-4);
  // Layers are counted together: two that lean to different experts balance each other.
  at::Tensor other = at::zeros({6, experts});
  other.select(1, 0).fill_(50);
  EXPECT_NEAR(balance_loss({one, other}, 1).item<double>(), 2, 1e-4);
  EXPECT_THROW(balance_loss({}, 1), base::Error);
}

TEST(BalanceLoss, PullsProbabilityAwayFromWhatIsChosenOften) {
  at::Tensor logits = at::randn({20, 4});
  logits.select(1, 1).add_(2);
  logits.requires_grad_();
  balance_loss({logits}, 2).backward();
  EXPECT_GT(logits.grad().select(1, 1).mean().item<double>(), 0);
}

}  // namespace
}  // namespace deepspeed::nn
