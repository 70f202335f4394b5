#include "deepspeed/recompute/recompute.h"

#include <gmock/gmock.h>
#include <torch/nn/modules/container/modulelist.h>
#include <torch/nn/modules/linear.h>

#include "deepspeed/accel/autocast.h"
#include "deepspeed/nn/blocked.h"
#include "deepspeed/nn/grad_hooks.h"
#include "deepspeed/ops/dropout.h"

namespace deepspeed::recompute {
namespace {

using at::Tensor;

// Counts its computations; two outputs, one of them integral, and arguments of every kind.
class Counted : public nn::BlockModule<Counted> {
 public:
  explicit Counted(std::shared_ptr<accel::Rng> rng = nullptr) : rng_(std::move(rng)) {
    weight = register_parameter("weight", at::full({1}, 3.0));
  }
  std::tuple<Tensor, std::vector<Tensor>, int> compute(const Tensor& x, const std::optional<Tensor>& shift,
                                                       double factor) {
    ++computed;
    Tensor y = x * weight * factor;
    if (rng_) y = ops::dropout(y, 0.5, rng_->key(7));
    if (shift) y = y + *shift;
    return {y.tanh(), {at::ones({2}, at::kLong), Tensor(), y.exp()}, 42};
  }
  Tensor weight;
  int computed = 0;

 private:
  std::shared_ptr<accel::Rng> rng_;
};

struct Gradients {
  Tensor x, shift, weight;
};

Gradients gradients_of(Counted& block, bool use_second) {
  const Tensor x = at::arange(6, at::kFloat).div(10).requires_grad_(true);
  const Tensor shift = at::full({6}, 0.25).requires_grad_(true);
  block.zero_grad();
  auto [first, list, number] = block.forward(x, std::optional<Tensor>(shift), 0.5);
  EXPECT_EQ(number, 42);
  EXPECT_FALSE(list[1].defined());
  EXPECT_TRUE(list[0].equal(at::ones({2}, at::kLong)));
  (use_second ? first.sum() + list[2].sum() : first.sum()).backward();
  return {x.grad(), shift.grad(), block.weight.grad()};
}

TEST(Recompute, GivesTheGradientsOfAPlainForwardAndComputesTwice) {
  for (bool use_second : {false, true}) {
    Counted plain, again;
    recompute_blocks(again, [](const auto&, auto&) { return true; }, {});
    const Gradients want = gradients_of(plain, use_second), got = gradients_of(again, use_second);
    EXPECT_TRUE(got.x.equal(want.x));
    EXPECT_TRUE(got.shift.equal(want.shift));
    EXPECT_TRUE(got.weight.equal(want.weight));
    EXPECT_EQ(plain.computed, 1);
    EXPECT_EQ(again.computed, 2);
  }
}

TEST(Recompute, ReachesParametersWhereNoInputNeedsAGradient) {
  Counted block;
  recompute_blocks(block, [](const auto&, auto&) { return true; }, {});
  std::get<0>(block.forward(at::ones({3}), std::optional<Tensor>(), 1.0)).sum().backward();
  ASSERT_TRUE(block.weight.grad().defined());
  EXPECT_NE(block.weight.grad().item<float>(), 0);
}

class Product : public nn::BlockModule<Product> {
 public:
  Product() { weight = register_parameter("weight", at::arange(16, at::kFloat).view({4, 4}).div(10)); }
  Tensor compute(const Tensor& x) { return at::mm(x, weight); }
  Tensor weight;
};

// The backward runs outside the region; the weight is used again where its gradient is recorded.
TEST(Recompute, ComputesAgainUnderAutocastAndLeavesNoCastBehindThatHasNoGradient) {
  const auto gradient = [](bool recomputed) {
    Product block;
    if (recomputed) recompute_blocks(block, [](const auto&, auto&) { return true; }, {});
    const Tensor x = at::full({4, 4}, 0.3).requires_grad_(true);
    Tensor loss;
    {
      const accel::Autocast region(at::kBFloat16);
      const Tensor y = block.forward(x);
      EXPECT_EQ(y.scalar_type(), at::kBFloat16);
      loss = at::mm(y, block.weight).to(at::kFloat).sum();
    }
    loss.backward();
    return std::pair(x.grad(), block.weight.grad());
  };
  const auto [x, weight] = gradient(false);
  const auto [x_again, weight_again] = gradient(true);
  EXPECT_TRUE(x_again.equal(x));
  EXPECT_TRUE(at::allclose(weight_again, weight, 0.01, 0));
}

TEST(Recompute, DrawsTheMasksOfTheFirstForwardThoughTheStepHasMovedOn) {
  const auto gradient = [](bool recomputed) {
    auto rng = std::make_shared<accel::Rng>(3);
    Counted block(rng);
    if (recomputed) recompute_blocks(block, [](const auto&, auto&) { return true; }, {.rng = rng});
    const Tensor x = at::ones({64}).requires_grad_(true);
    rng->set_step(5);
    const Tensor early = std::get<0>(block.forward(x, std::optional<Tensor>(), 1.0)).sum();
    rng->set_step(6);
    const Tensor late = std::get<0>(block.forward(x, std::optional<Tensor>(), 1.0)).sum();
    (early + late * 2).backward();
    EXPECT_EQ(rng->step(), 6u);
    return x.grad();
  };
  const Tensor want = gradient(false);
  EXPECT_TRUE(gradient(true).equal(want));
  EXPECT_GT(want.eq(0).sum().item<int64_t>(), 4);  // else nothing was dropped
}

TEST(Recompute, IsAPlainCallWithoutGradients) {
  Counted block;
  recompute_blocks(block, [](const auto&, auto&) { return true; }, {});
  const at::NoGradGuard no_grad;
  const Tensor out = std::get<0>(block.forward(at::ones({3}), std::optional<Tensor>(), 1.0));
  EXPECT_FALSE(out.requires_grad());
  EXPECT_EQ(block.computed, 1);
}

TEST(Recompute, RefusesInputsThatWereChangedInPlaceMeanwhile) {
  Counted block;
  recompute_blocks(block, [](const auto&, auto&) { return true; }, {});
  const Tensor x = at::ones({3});
  const Tensor out = std::get<0>(block.forward(x, std::optional<Tensor>(), 1.0)).sum();
  x.add_(1);
  EXPECT_THROW(out.backward(), c10::Error);
}

class Deep : public torch::nn::Module {
 public:
  Deep() {
    list = register_module("layers", torch::nn::ModuleList());
    for (int i = 0; i < 3; ++i) list->push_back(nn::Blocked<torch::nn::Linear>(4, 4).ptr());
    head = register_module("head", nn::Blocked<torch::nn::Linear>(4, 1));
  }
  Tensor forward(Tensor x) {
    for (const auto& layer : *list)
      x = layer->as<nn::BlockedImpl<torch::nn::LinearImpl>>()->forward(x).tanh();
    return head->forward(x);
  }
  torch::nn::ModuleList list{nullptr};
  nn::Blocked<torch::nn::Linear> head{nullptr};
};

TEST(Recompute, LayersAreTheElementsOfLists) {
  Deep model;
  std::vector<std::string> names;
  const Selection layers = layers_of(model);
  recompute_blocks(model,
                   [&](const std::string& name, nn::Block& block) {
                     if (layers(name, block)) names.push_back(name);
                     return layers(name, block);
                   },
                   {});
  EXPECT_THAT(names, testing::ElementsAre("layers.0", "layers.1", "layers.2"));
  model.forward(at::ones({2, 4})).sum().backward();
  for (const auto& parameter : model.parameters()) EXPECT_TRUE(parameter.grad().defined());
}

// A Block recomputed within a Block that is recomputed.
class Outer : public nn::BlockModule<Outer> {
 public:
  Outer() { inner = register_module("inner", std::make_shared<Counted>()); }
  Tensor compute(const Tensor& x) {
    return std::get<0>(inner->forward(x, std::optional<Tensor>(), 2.0)).cos();
  }
  std::shared_ptr<Counted> inner;
};

TEST(Recompute, NestsAndCallsBackOnceTheOutermostBackwardIsOver) {
  const auto gradient = [](bool recomputed, std::string* order) {
    Outer outer;
    if (recomputed) recompute_blocks(outer, [](const auto&, auto&) { return true; }, {});
    const Tensor x = at::ones({3}).requires_grad_(true), before = x * 1.5;
    const auto heard = nn::on_gradient(outer.inner->weight, [&](const Tensor&) {
      *order += "weight ";
      nn::after_backward([order] { *order += "end "; });
    });
    const auto leaf = nn::on_gradient(x, [&](const Tensor&) { *order += "input "; });
    outer.forward(before).sum().backward();
    EXPECT_EQ(outer.inner->computed, recomputed ? 3 : 1);
    return x.grad();
  };
  std::string plain, order;
  EXPECT_TRUE(gradient(true, &order).equal(gradient(false, &plain)));
  EXPECT_EQ(order, "weight input end ");
  EXPECT_EQ(plain, order);
}

TEST(Recompute, PrintsTheTimeOfEachForwardAndBackwardWhenAskedTo) {
  std::vector<std::string> lines;
  Options options{.print = [&](const std::string& line) { lines.push_back(line); }};
  const auto train = [&] {
    lines.clear();
    Counted block;
    recompute_blocks(
        block, [](const auto&, auto&) { return true; }, options);
    for (int i = 0; i < 2; ++i) gradients_of(block, /*use_second=*/false);
  };
  train();
  EXPECT_TRUE(lines.empty());
  options.config.profile = true;
  train();
  const auto forward = ::testing::MatchesRegex("time \\(ms\\) \\| fwd: [0-9]+\\.[0-9][0-9]"),
             backward = ::testing::MatchesRegex("time \\(ms\\) \\| backward: [0-9]+\\.[0-9][0-9]");
  EXPECT_THAT(lines, ::testing::ElementsAre(forward, backward, forward, backward));
}

// Observers see one use of the recomputed Block and each computation of those within.
struct Log : nn::BlockObserver {
  explicit Log(std::string* text, char name) : text(text), name(name) {}
  void before_forward(nn::Block&) override { *text += std::string(">") + name; }
  void after_forward(nn::Block&) override { *text += std::string("<") + name; }
  void before_backward(nn::Block&) override { *text += std::string("[") + name; }
  void after_backward(nn::Block&) override { *text += std::string("]") + name; }
  std::string* text;
  char name;
};

TEST(Recompute, HappensWithinTheBackwardThatObserversSee) {
  Outer outer;
  recompute_blocks(outer, [](const std::string& name, auto&) { return name.empty(); }, {});
  std::string text;
  outer.add_observer(std::make_shared<Log>(&text, 'o'));
  outer.inner->add_observer(std::make_shared<Log>(&text, 'i'));
  outer.forward(at::ones({3}).requires_grad_(true)).sum().backward();
  EXPECT_EQ(text, ">o>i<i<o[o>i<i[i]i]o");
}

}  // namespace
}  // namespace deepspeed::recompute
