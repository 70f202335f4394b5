#include "deepspeed/engine/engine.h"

#include <torch/nn/modules/batchnorm.h>
#include <torch/nn/modules/linear.h>

#include "deepspeed/base/error.h"
#include "tests/engine/tiny.h"

namespace deepspeed::engine {
namespace {

// A user's plain module: a frozen layer, a layer that is never used, a buffer.
struct Plain : torch::nn::Module {
  torch::nn::Linear used{4, 3}, frozen{3, 3}, unused{2, 2};
  torch::nn::BatchNorm1d norm{3};
  Plain() {
    register_module("used", used);
    register_module("frozen", frozen);
    register_module("unused", unused);
    register_module("norm", norm);
    for (auto& p : frozen->parameters()) p.requires_grad_(false);
  }
  at::Tensor forward(const at::Tensor& x) {
    return frozen->forward(norm->forward(used->forward(x))).pow(2).mean();
  }
};

const char* kConfig =
    R"({"train_micro_batch_size_per_gpu": 2, "optimizer": {"type": "Adam", "params": {"lr": 0.1}},
  "zero_optimization": {"stage": 2}})";

TEST(Engine, StartsEveryRankFromRankZerosParametersAndBuffers) {
  std::vector<std::vector<at::Tensor>> all(2);
  comm::run_ranks(2, [&](comm::GroupPtr group) {
    auto model = std::make_shared<Plain>();
    at::NoGradGuard no_grad;
    for (auto& p : model->parameters()) p.fill_(group->rank() + 1);
    model->norm->running_mean.fill_(group->rank() + 1);
    auto ready = initialize({.model = model, .config = kConfig, .group = group});
    for (auto& p : model->parameters()) EXPECT_TRUE(at::equal(p, at::ones_like(p)));
    EXPECT_TRUE(at::equal(model->norm->running_mean, at::ones({3})));
  });
}

TEST(Engine, TrainsAPlainModuleWithFrozenAndUnusedParameters) {
  for (int stage : {0, 1, 2})
    comm::run_ranks(2, [&](comm::GroupPtr group) {
      auto model = std::make_shared<Plain>();
      std::string config = kConfig;
      config.replace(config.find("\"stage\": 2"), 10, fmt::format("\"stage\": {}", stage));
      auto ready = initialize({.model = model, .config = config, .group = group});
      const at::Tensor unused = model->unused->weight.detach().clone(),
                       frozen = model->frozen->weight.detach().clone();
      const at::Tensor used = model->used->weight.detach().clone();
      for (int i = 0; i < 5; ++i) {
        ready.engine->backward(ready.engine->forward([&] {
          return model->forward(at::rand({2, 4}) + group->rank());
        }));
        ready.engine->step();
      }
      EXPECT_TRUE(at::equal(model->unused->weight, unused));
      EXPECT_TRUE(at::equal(model->frozen->weight, frozen));
      EXPECT_FALSE(at::equal(model->used->weight, used));
      const auto everyones =
          group->all_gather_object(fmt::format("{}", model->used->weight.sum().item<double>()));
      EXPECT_EQ(everyones[0], everyones[1]);
    });
}

TEST(Engine, TakesAPlainBackwardOfTheUsersToo) {
  comm::run_ranks(2, [&](comm::GroupPtr group) {
    auto model = std::make_shared<Plain>(), twin = std::make_shared<Plain>();
    auto a = initialize({.model = model, .config = kConfig, .group = group});
    auto b = initialize({.model = twin, .config = kConfig, .group = group});
    {
      at::NoGradGuard no_grad;
      for (size_t i = 0; i < model->parameters().size(); ++i)
        twin->parameters()[i].copy_(model->parameters()[i]);
    }
    const at::Tensor x = at::rand({2, 4});
    a.engine->backward(a.engine->forward([&] { return model->forward(x); }));
    b.engine->forward([&] { return twin->forward(x); }).backward();
    a.engine->step();
    b.engine->step();
    EXPECT_TRUE(at::equal(model->used->weight, twin->used->weight));
  });
}

TEST(Engine, RefusesAnUnscaledBackwardOfTheUsersUnderFp16) {
  comm::run_ranks(1, [&](comm::GroupPtr group) {
    TinyRun run(group, R"({"train_micro_batch_size_per_gpu": 1, "fp16": {"enabled": true, "loss_scale": 8},
      "optimizer": {"type": "Adam"}, "zero_optimization": {"stage": 1}})");
    const at::Tensor ids = run.ready.loader->next()[0];
    auto loss = [&] { return run.engine().forward([&] { return run.model->forward(ids, ids); }); };
    EXPECT_THROW(loss().backward(), base::Error);
    run.engine().zero_grad();
    run.engine().scale(loss()).backward();
    run.engine().step();
    EXPECT_TRUE(run.engine().was_step_applied());
  });
}

TEST(Engine, RanksWithDifferentConfigurationsAnswerAtOnce) {
  comm::run_ranks(2, [&](comm::GroupPtr group) {
    const std::string text =
        fmt::format(R"({{"train_micro_batch_size_per_gpu": 1, "optimizer": {{"type": "Adam"}},
      "zero_optimization": {{"stage": {}}}}})",
                    group->rank());
    EXPECT_THROW(TinyRun(group, text), base::Error);
  });
}

TEST(Engine, ReportsTheUnclippedNormAlsoAtStageZero) {
  for (int stage : {0, 2})
    comm::run_ranks(2, [&](comm::GroupPtr group) {
      auto model = std::make_shared<torch::nn::LinearImpl>(torch::nn::LinearOptions(2, 1).bias(false));
      auto ready = initialize(
          {.model = model,
           .config = fmt::format(R"({{"train_micro_batch_size_per_gpu": 1, "gradient_clipping": 0.5,
                                   "optimizer": {{"type": "Adam"}}, "zero_optimization": {{"stage": {}}}}})",
                                 stage),
           .group = group});
      EXPECT_FALSE(ready.engine->get_global_grad_norm());
      // The gradient is x averaged over ranks: (3, 4).
      ready.engine->backward(
          model->forward(at::tensor({3.f, group->rank() == 0 ? 5.f : 3.f}).view({1, 2})).sum());
      ready.engine->step();
      ASSERT_TRUE(ready.engine->get_global_grad_norm());
      EXPECT_NEAR(*ready.engine->get_global_grad_norm(), 5.0, 1e-6);
    });
}

TEST(Engine, CountsMicroStepsStepsAndSamples) {
  TinyRun run(
      comm::single_group(),
      R"({"train_batch_size": 6, "train_micro_batch_size_per_gpu": 2, "optimizer": {"type": "AdamW"}})");
  Engine& e = run.engine();
  EXPECT_EQ(e.gradient_accumulation_steps(), 3);
  for (int m = 0; m < 7; ++m) {
    EXPECT_EQ(e.is_gradient_accumulation_boundary(), m % 3 == 2);
    run.micro_step();
    EXPECT_EQ(e.was_step_applied(), m % 3 == 2);
  }
  EXPECT_EQ(e.micro_steps(), 7);
  EXPECT_EQ(e.global_steps(), 2);
  EXPECT_EQ(e.global_samples(), 12);
  EXPECT_EQ(e.get_type(), "adamw");
}

TEST(Engine, GivesParameterGroupsTheirOwnHyperparameters) {
  auto model = std::make_shared<Plain>();
  auto ready = initialize(
      {.model = model,
       .config = kConfig,
       .group = comm::single_group(),
       .parameter_groups = {{.parameters = {model->used->weight}, .lr = 0.5},
                            {.parameters = {model->used->bias, model->norm->weight}, .weight_decay = 0.0}}});
  EXPECT_EQ(ready.engine->get_lr(), (std::vector<double>{0.5, 0.1}));
}

TEST(Engine, RefusesWhatCannotWork) {
  auto model = std::make_shared<Plain>();
  const auto group = comm::single_group();
  EXPECT_THROW(initialize({.config = kConfig, .group = group}), base::Error);
  EXPECT_THROW(
      initialize({.model = std::make_shared<torch::nn::Module>(), .config = kConfig, .group = group}),
      base::Error);
  EXPECT_THROW(initialize({.model = model, .config = R"({"train_batch_size": 2})", .group = group}),
               base::Error);
  EXPECT_THROW(initialize({.model = model,
                           .config = kConfig,
                           .group = group,
                           .parameter_groups = {{.parameters = {model->used->weight}},
                                                {.parameters = {model->used->weight}}}}),
               base::Error);
  auto ready = initialize({.model = model, .config = kConfig, .group = group});
  EXPECT_THROW(ready.engine->backward(at::ones({2}).requires_grad_(true)), base::Error);
}

TEST(Engine, NamesTheUnusedParameterWhenAskedTo) {
  auto model = std::make_shared<Plain>();
  auto ready = initialize({.model = model,
                           .config = R"({"train_micro_batch_size_per_gpu": 2, "optimizer": {"type": "Adam"},
      "zero_optimization": {"stage": 2, "ignore_unused_parameters": false}})",
                           .group = comm::single_group()});
  try {
    ready.engine->backward(model->forward(at::rand({2, 4})));
    FAIL();
  } catch (const base::Error& error) {
    EXPECT_NE(std::string(error.what()).find("'unused.weight'"), std::string::npos);
  }
}

}  // namespace
}  // namespace deepspeed::engine
