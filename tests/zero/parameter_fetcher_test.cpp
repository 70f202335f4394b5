#include "deepspeed/zero/parameter_fetcher.h"

#include <gmock/gmock.h>
#include <torch/nn/modules/linear.h>

#include "deepspeed/base/error.h"
#include "deepspeed/comm/ranks.h"
#include "deepspeed/nn/blocked.h"
#include "deepspeed/nn/materializer.h"
#include "deepspeed/nn/tiled_linear.h"

namespace deepspeed::zero {
namespace {

using ::testing::HasSubstr;

// The same on every rank and in every model: the default generator is the whole process's.
at::Tensor numbers(at::IntArrayRef shape, double phase) {
  return at::sin(at::arange(c10::multiply_integers(shape), at::kFloat) * 1.7 + phase).view(shape);
}

// A weight [4, 4] of its own, and perhaps another Block's.
class Layer : public nn::BlockModule<Layer> {
 public:
  explicit Layer(size_t index, const at::Tensor& tied = {}) : tied_(tied) {
    weight = register_parameter("weight", numbers({4, 4}, static_cast<double>(index)));
    if (tied.defined()) use_parameter(tied);
  }
  at::Tensor compute(const at::Tensor& x) {
    const at::Tensor y = at::tanh(at::mm(x, weight));
    return tied_.defined() ? at::mm(y, tied_) : y;
  }
  at::Tensor weight;

 private:
  at::Tensor tied_;
};

class Net : public nn::BlockModule<Net> {
 public:
  explicit Net(size_t count) {
    for (size_t i = 0; i < count; ++i)
      layers.push_back(
          register_module("layer" + std::to_string(i),
                          std::make_shared<Layer>(i, i + 1 == count ? layers[0]->weight : at::Tensor())));
    foreign = register_module("foreign", torch::nn::Linear(4, 4));  // no Block: the root needs it
    at::NoGradGuard no_grad;
    for (auto& p : foreign->parameters()) p.copy_(numbers(p.sizes(), 9));
  }
  at::Tensor compute(at::Tensor x, const std::vector<size_t>& order) {
    for (const size_t i : order) x = layers[i]->forward(x);
    return foreign->forward(x).square().sum();
  }
  std::vector<std::shared_ptr<Layer>> layers;
  torch::nn::Linear foreign{nullptr};
};

const std::vector<size_t> kAll = {0, 1, 2, 3};

struct Sharded {
  explicit Sharded(comm::GroupPtr group, Stage3Config config = {}) : group(std::move(group)), net(4) {
    std::vector<NamedParameter> named;
    std::vector<at::Tensor> values;
    for (const auto& p : net.named_parameters()) {
      named.push_back({p.key(), p.value()});
      values.push_back(p.value().detach().clone());
    }
    shards = std::make_unique<ParameterShards>(
        named,
        [values](size_t p, int64_t begin, at::Tensor slice) {
          slice.copy_(values[p].view({-1}).narrow(0, begin, slice.numel()));
        },
        this->group, ParameterShards::Options{});
    fetcher = std::make_unique<ParameterFetcher>(net, std::vector<ParameterShards*>{shards.get()}, config,
                                                 *this->group);
  }
  // Gradients by name, which are those of a whole model.
  std::map<std::string, at::Tensor> step(const std::vector<size_t>& order) {
    net.zero_grad();
    fetcher->begin_pass(true);
    net.forward(at::ones({2, 4}), order).backward();
    fetcher->end_pass();
    std::map<std::string, at::Tensor> grads;
    for (const auto& p : net.named_parameters()) grads[p.key()] = p.value().grad();
    return grads;
  }
  bool all_empty() const {
    for (const auto& p : net.parameters())
      if (p.storage().nbytes() > 0) return false;
    return true;
  }
  comm::GroupPtr group;
  Net net;
  std::unique_ptr<ParameterShards> shards;
  std::unique_ptr<ParameterFetcher> fetcher;
};

std::map<std::string, at::Tensor> whole_gradients(const std::vector<size_t>& order) {
  Net net(4);
  net.forward(at::ones({2, 4}), order).backward();
  std::map<std::string, at::Tensor> grads;
  for (const auto& p : net.named_parameters()) grads[p.key()] = p.value().grad();
  return grads;
}

void expect_same(const std::map<std::string, at::Tensor>& a, const std::map<std::string, at::Tensor>& b) {
  for (const auto& [name, gradient] : a) {
    ASSERT_EQ(gradient.defined(), b.at(name).defined()) << name;
    if (gradient.defined()) {
      EXPECT_TRUE(at::equal(gradient, b.at(name))) << name;
    }
  }
}

std::vector<Stage3Config> configurations() {
  std::vector<Stage3Config> all(4);
  all[1].max_reuse_distance = 0;
  all[1].prefetch_bucket_size = 0;
  all[2].max_live_parameters = 40;
  all[2].prefetch_bucket_size = 16;
  all[3].allgather_sequential = true;
  return all;
}

TEST(ParameterFetcher, TrainsAsAWholeModelDoesWatchedAndPlanned) {
  for (const auto& config : configurations())
    comm::run_ranks(3, [&](comm::GroupPtr group) {
      Sharded run(group, config);
      EXPECT_TRUE(run.all_empty());
      for (int step = 0; step < 3; ++step) {
        expect_same(run.step(kAll), whole_gradients(kAll));
        EXPECT_TRUE(run.all_empty());
      }
      EXPECT_EQ(run.fetcher->passes_planned(), 2);
    });
}

TEST(ParameterFetcher, HoldsNoMoreThanItMay) {
  comm::run_ranks(2, [&](comm::GroupPtr group) {
    Stage3Config config;
    config.max_reuse_distance = 0;
    config.prefetch_bucket_size = 0;
    Sharded run(group, config);
    run.step(kAll);
    // The foreign layer's 20 elements stay while the root runs; the last layer needs two weights.
    EXPECT_EQ(run.fetcher->most_live(), 20 + 32);
  });
}

TEST(ParameterFetcher, PlansAnewWhenTheOrderChangesAndLeavesUnusedBlocksAlone) {
  comm::run_ranks(2, [&](comm::GroupPtr group) {
    Sharded run(group);
    run.step(kAll);
    run.step(kAll);
    for (const auto& order : {std::vector<size_t>{1, 0, 2}, std::vector<size_t>{2, 2, 1, 3}}) {
      for (int step = 0; step < 2; ++step) {
        expect_same(run.step(order), whole_gradients(order));
        EXPECT_TRUE(run.all_empty());
      }
    }
    EXPECT_EQ(run.fetcher->passes_replanned(), 2);
    EXPECT_EQ(run.fetcher->passes_planned(), 3);
  });
}

TEST(ParameterFetcher, NamesRanksAndBlocksThatGoDifferentWays) {
  std::vector<std::string> messages(2);
  comm::run_ranks(2, [&](comm::GroupPtr group) {
    Sharded run(group);
    run.step(kAll);
    try {
      run.step(group->rank() == 0 ? std::vector<size_t>{0, 1, 2} : std::vector<size_t>{0, 2, 1});
    } catch (const base::Error& error) {
      messages[static_cast<size_t>(group->rank())] = error.what();
    }
  });
  for (const auto& message : messages) {
    EXPECT_THAT(message, HasSubstr("the ranks went different ways through the model: rank 1 is about to run "
                                   "Block 'layer2', rank 0 to run "));
  }
}

TEST(ParameterFetcher, NamesARankThatEndsWhileOthersGoOn) {
  std::vector<std::string> messages(2);
  comm::run_ranks(2, [&](comm::GroupPtr group) {
    Stage3Config config;
    config.max_reuse_distance = 0;
    Sharded run(group, config);
    try {
      run.step(group->rank() == 0 ? std::vector<size_t>{0, 1, 2} : std::vector<size_t>{});
    } catch (const base::Error& error) {
      messages[static_cast<size_t>(group->rank())] = error.what();
    }
  });
  for (const auto& message : messages) EXPECT_THAT(message, HasSubstr("the ranks went different ways"));
}

TEST(ParameterFetcher, GathersALeafAsOne) {
  comm::run_ranks(2, [&](comm::GroupPtr group) {
    Stage3Config config;
    config.leaf_module.classes = {"Net"};
    config.max_reuse_distance = 0;
    Sharded run(group, config);
    expect_same(run.step(kAll), whole_gradients(kAll));
    EXPECT_EQ(run.fetcher->most_live(), 4 * 16 + 20);
  });
}

TEST(ParameterFetcher, RunsForwardAloneOutsideTraining) {
  comm::run_ranks(2, [&](comm::GroupPtr group) {
    Sharded run(group);
    at::NoGradGuard no_grad;
    const at::Tensor got = run.net.forward(at::ones({2, 4}), kAll);
    EXPECT_TRUE(at::equal(got, Net(4).forward(at::ones({2, 4}), kAll)));
    EXPECT_TRUE(run.all_empty());
  });
}

TEST(GatheredParameters, AreWholeAndChangedByOneRankForAll) {
  comm::run_ranks(2, [&](comm::GroupPtr group) {
    Sharded run(group);
    const at::Tensor weight = run.net.layers[1]->weight;
    {
      GatheredParameters whole(*run.fetcher, {weight, weight}, 1, *group);
      EXPECT_TRUE(at::equal(weight.detach(), Net(4).layers[1]->weight.detach()));
      if (group->rank() == 1) weight.detach().fill_(5);
    }
    EXPECT_TRUE(run.all_empty());
    const GatheredParameters again(*run.fetcher, {weight}, std::nullopt, *group);
    EXPECT_TRUE(weight.detach().eq(5).all().item<bool>());
  });
}

// Gathering everything at once leaves nothing behind once steps go on, which need less; an evaluation between
// two steps takes nothing away.
TEST(ParameterFetcher, FreesBuffersThatItsPlanDoesNotNeed) {
  comm::run_ranks(2, [&](comm::GroupPtr group) {
    Stage3Config config;
    config.max_reuse_distance = 0;
    config.prefetch_bucket_size = 16;
    Sharded run(group, config);
    const auto held = [&] { return run.shards->pool().bytes_in_use() + run.shards->pool().bytes_idle(); };
    for (int step = 0; step < 3; ++step) run.step(kAll);
    const int64_t planned = held();
    {
      const GatheredParameters whole(*run.fetcher, run.net.parameters(), std::nullopt, *group);
      EXPECT_GT(held(), planned);
    }
    EXPECT_GT(held(), planned);
    run.step(kAll), run.step(kAll);
    EXPECT_EQ(held(), planned);
    const auto evaluate = [&] {
      at::NoGradGuard no_grad;
      run.fetcher->begin_pass(false);
      run.net.forward(at::ones({2, 4}), std::vector<size_t>{0, 3});
      run.fetcher->end_pass();
    };
    evaluate();
    EXPECT_EQ(held(), planned);
    run.step(kAll);
    EXPECT_EQ(held(), planned);
    for (int pass = 0; pass < 4; ++pass) evaluate();
    EXPECT_LT(held(), planned);
    run.step(kAll);
    EXPECT_EQ(run.fetcher->passes_replanned(), 0);
  });
}

// Of a big layer in tiles, memory holds one tile at a time, forward and backward.
TEST(ParameterFetcher, GathersATiledLayerTileByTile) {
  comm::run_ranks(2, [&](comm::GroupPtr group) {
    constexpr int64_t kIn = 64, kOut = 96, kTiles = 8;
    const auto most_in_use = [&](int64_t splits) {
      nn::TiledLinear layer({.linear = {.in_features = kIn, .out_features = kOut}, .out_splits = splits});
      nn::DenseMaterializer().materialize(nn::list_parameters(layer), nn::InitSource(1));
      std::vector<NamedParameter> named;
      for (const auto& p : layer.named_parameters()) named.push_back({p.key(), p.value()});
      ParameterShards shards(
          named,
          [&](size_t p, int64_t begin, at::Tensor slice) {
            slice.copy_(named[p].tensor.detach().view({-1}).narrow(0, begin, slice.numel()));
          },
          group, ParameterShards::Options{});
      ParameterFetcher fetcher(layer, {&shards},
                               {.prefetch_bucket_size = 0, .max_live_parameters = 0, .max_reuse_distance = 0},
                               *group);
      for (int step = 0; step < 2; ++step) {
        fetcher.begin_pass(true);
        layer.forward(at::ones({2, kIn}).requires_grad_(true)).square().sum().backward();
        fetcher.end_pass();
      }
      return shards.pool().bytes_in_use() + shards.pool().bytes_idle();
    };
    const int64_t whole = (kIn + 1) * kOut * 4;
    EXPECT_GE(most_in_use(1), whole);
    EXPECT_LE(most_in_use(kTiles), 2 * whole / kTiles + 1024);
  });
}

}  // namespace
}  // namespace deepspeed::zero
