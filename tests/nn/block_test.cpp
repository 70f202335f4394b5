#include "deepspeed/nn/block.h"

#include <gtest/gtest.h>
#include <torch/nn/modules/linear.h>

#include <thread>

#include "deepspeed/nn/blocked.h"
#include "deepspeed/nn/materializer.h"

namespace deepspeed::nn {
namespace {

using at::Tensor;

// Writes "F(name f) B(name b)" style events: > before forward, < after forward, [ before backward, ] after
// backward.
struct Recorder : BlockObserver {
  explicit Recorder(std::string* log, std::string name) : log(log), name(std::move(name)) {}
  void before_forward(Block&) override { *log += ">" + name; }
  void after_forward(Block&) override { *log += "<" + name; }
  void before_backward(Block&) override { *log += "[" + name; }
  void after_backward(Block&) override { *log += "]" + name; }
  std::string* log;
  std::string name;
};

class Scale : public BlockModule<Scale> {
 public:
  Scale() { weight = register_parameter("weight", at::full({1}, 3.0)); }
  Tensor compute(const Tensor& x) { return x * weight; }
  Tensor weight;
};

struct Recorded {
  std::string log;
  void watch(Block& block, const std::string& name) {
    block.add_observer(std::make_shared<Recorder>(&log, name));
  }
  size_t count(const std::string& event) const {
    size_t n = 0;
    for (size_t at = log.find(event); at != std::string::npos; at = log.find(event, at + 1)) ++n;
    return n;
  }
};

TEST(Block, SurroundsForwardAndBackwardOfAChainInOrder) {
  Scale a, b;
  Recorded seen;
  seen.watch(a, "a");
  seen.watch(b, "b");
  Tensor x = at::ones({2}).requires_grad_(true);
  b.forward(a.forward(x)).sum().backward();
  EXPECT_EQ(seen.log, ">a<a>b<b[b]b[a]a");
  EXPECT_EQ(x.grad()[0].item<float>(), 9.0f);
  EXPECT_EQ(a.weight.grad().item<float>(), 6.0f);
}

TEST(Block, ClosesAUseWhoseInputNeedsNoGradientAtTheEndOfBackward) {
  Scale first, second;
  Recorded seen;
  seen.watch(first, "a");
  seen.watch(second, "b");
  second.forward(first.forward(at::ones({2}))).sum().backward();
  EXPECT_EQ(seen.log, ">a<a>b<b[b]b[a]a");
  EXPECT_TRUE(first.weight.grad().defined());
}

class TwoOutputs : public BlockModule<TwoOutputs> {
 public:
  TwoOutputs() { weight = register_parameter("weight", at::full({1}, 2.0)); }
  std::tuple<Tensor, std::vector<Tensor>> compute(const Tensor& x, const std::optional<Tensor>& y) {
    return {x * weight, {x + 1, y ? *y * 5 : x}};
  }
  Tensor weight;
};

TEST(Block, FiresOnceWhenSomeOutputsAreUnusedOrSomeInputsUnreached) {
  TwoOutputs block;
  Recorded seen;
  seen.watch(block, "m");
  Tensor x = at::ones({2}).requires_grad_(true), y = at::ones({2}).requires_grad_(true);
  auto [used, unused] = block.forward(x, std::optional<Tensor>(y));
  used.sum().backward();
  EXPECT_EQ(seen.log, ">m<m[m]m");
  EXPECT_FALSE(y.grad().defined());

  seen.log.clear();
  auto [ignored, list] = block.forward(x, std::optional<Tensor>(y));
  list[1].sum().backward();  // reaches y alone: the weight gets nothing
  EXPECT_EQ(seen.log, ">m<m[m]m");
  EXPECT_EQ(y.grad()[0].item<float>(), 5.0f);
}

TEST(Block, AUseThatNoGradientReachesGetsNoBackward) {
  Scale used, unused;
  Recorded seen;
  seen.watch(unused, "u");
  Tensor x = at::ones({2}).requires_grad_(true);
  Tensor dropped = unused.forward(x);
  used.forward(x).sum().backward();
  EXPECT_EQ(seen.log, ">u<u");
}

TEST(Block, CountsEachOfSeveralUses) {
  Scale block;
  Recorded seen;
  seen.watch(block, "a");
  Tensor x = at::ones({2}).requires_grad_(true);
  Tensor loss = block.forward(block.forward(x)).sum() + block.forward(x).sum();
  loss.backward();
  EXPECT_EQ(seen.count("[a"), 3u);
  EXPECT_EQ(seen.count("]a"), 3u);
}

TEST(Block, FiresAgainWhenARetainedGraphIsRunTwice) {
  Scale block;
  Recorded seen;
  seen.watch(block, "a");
  Tensor loss = block.forward(at::ones({2})).sum();
  loss.backward({}, /*retain_graph=*/true);
  loss.backward();
  EXPECT_EQ(seen.log, ">a<a[a]a[a]a");
}

TEST(Block, IsSilentBesidesForwardWithoutGradients) {
  Scale block;
  Recorded seen;
  seen.watch(block, "a");
  at::NoGradGuard no_grad;
  block.forward(at::ones({2}));
  EXPECT_EQ(seen.log, ">a<a");
}

// The smallest activation recomputation: forward without a graph, again with one inside backward.
struct Recompute : torch::autograd::Function<Recompute> {
  static Tensor forward(torch::autograd::AutogradContext* ctx, const Tensor& x, Scale* block) {
    ctx->save_for_backward({x});
    ctx->saved_data["block"] = reinterpret_cast<int64_t>(block);
    at::NoGradGuard no_grad;
    return block->forward(x);
  }
  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* ctx,
                                                 torch::autograd::variable_list grads) {
    auto* block = reinterpret_cast<Scale*>(ctx->saved_data["block"].toInt());
    Tensor x = ctx->get_saved_variables()[0].detach().requires_grad_(true);
    at::AutoGradMode grad(true);
    block->forward(x).backward(grads[0]);
    return {x.grad(), Tensor()};
  }
};

TEST(Block, FiresOncePerRecomputedUseInsideBackward) {
  Scale block, after;
  Recorded seen;
  seen.watch(block, "r");
  seen.watch(after, "z");
  Tensor x = at::ones({2}).requires_grad_(true);
  after.forward(Recompute::apply(x, &block)).sum().backward();
  EXPECT_EQ(seen.log, ">r<r>z<z[z]z>r<r[r]r");
  EXPECT_EQ(block.weight.grad().item<float>(), 6.0f);
}

TEST(Block, AfterBackwardComesOnlyWhenTheParametersGradientsAreThere) {
  struct Check : BlockObserver {
    void after_backward(Block& block) override {
      for (auto& p : block.as_module().parameters()) complete = complete && p.grad().defined();
      ++calls;
    }
    bool complete = true;
    int calls = 0;
  };
  Blocked<torch::nn::Linear> first{torch::nn::LinearOptions(4, 8)}, second{torch::nn::LinearOptions(8, 2)};
  auto check = std::make_shared<Check>();
  first->add_observer(check);
  second->add_observer(check);
  Tensor x = at::ones({3, 4}).requires_grad_(true);
  second->forward(at::relu(first->forward(x))).sum().backward();
  EXPECT_EQ(check->calls, 2);
  EXPECT_TRUE(check->complete);
}

TEST(Blocked, KeepsParameterNamesOfTheLayerItWraps) {
  struct Net : torch::nn::Module {
    Blocked<torch::nn::Linear> fc{torch::nn::LinearOptions(4, 2)};
    Net() { register_module("fc", fc); }
  } net;
  EXPECT_EQ(net.named_parameters().keys(), (std::vector<std::string>{"fc.weight", "fc.bias"}));
  EXPECT_EQ(blocks_of(net).size(), 1u);
  EXPECT_EQ(blocks_of(net)[0].first, "fc");
}

TEST(Block, LetsSeveralRanksRunAsThreadsAtOnce) {
  std::vector<std::thread> threads;
  std::vector<std::string> logs(4);
  for (size_t t = 0; t < logs.size(); ++t)
    threads.emplace_back([&, t] {
      Scale a, b;
      a.add_observer(std::make_shared<Recorder>(&logs[t], "a"));
      b.add_observer(std::make_shared<Recorder>(&logs[t], "b"));
      for (int i = 0; i < 50; ++i) b.forward(a.forward(at::ones({2}).requires_grad_(true))).sum().backward();
    });
  for (auto& thread : threads) thread.join();
  std::string want;
  for (int i = 0; i < 50; ++i) want += ">a<a>b<b[b]b[a]a";
  for (const auto& log : logs) EXPECT_EQ(log, want);
}

TEST(Block, RemovedObserversHearNothing) {
  Scale block;
  std::string log;
  auto recorder = std::make_shared<Recorder>(&log, "a");
  block.add_observer(recorder);
  block.remove_observer(recorder.get());
  block.forward(at::ones({1})).sum().backward();
  EXPECT_EQ(log, "");
}

}  // namespace
}  // namespace deepspeed::nn
