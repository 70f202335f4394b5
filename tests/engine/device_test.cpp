// Training on a GPU against training on the CPU: the same losses at every stage, format and place of the
// optimizer, and checkpoints that either can read.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>

#include "deepspeed/accel/device.h"
#include "deepspeed/base/error.h"
#include "deepspeed/engine/accelerator.h"
#include "deepspeed/recompute/recompute.h"
#include "tests/engine/tiny.h"
#include "tests/support/device.h"

namespace deepspeed::engine {
namespace {

constexpr int kSteps = 20;

comm::GroupPtr gpu() { return comm::init_world({}, comm::Backend::kNccl); }

struct Setting {
  int stage = 0;
  const char* precision = "fp32";
  bool offload = false;
  int accumulation = 1;
  const char* optimizer = "AdamW";
};

std::string name_of(const Setting& s) {
  return fmt::format("{} stage {}{}, {} micro-batches, {}", s.precision, s.stage,
                     s.offload ? " offloaded" : "", s.accumulation, s.optimizer);
}

// Buckets of 3000 elements and tiles of 700: several of each.
std::string config_of(const Setting& s) {
  const std::string precision =
      s.precision == std::string("fp32") ? "" : fmt::format(R"("{}": {{"enabled": true}},)", s.precision);
  return fmt::format(
      R"({{"train_micro_batch_size_per_gpu": 2, "gradient_accumulation_steps": {}, "gradient_clipping": 0.8, {}
          "optimizer": {{"type": "{}", "params": {{"lr": 2e-3, "weight_decay": 0.05}}}},
          "zero_optimization": {{"stage": {}, "reduce_bucket_size": 3000, "sub_group_size": 700
                                 {}}}}})",
      s.accumulation, precision, s.optimizer, s.stage,
      s.offload ? R"(, "offload_optimizer": {"device": "cpu"})" : "");
}

// A run whose batches go where the group computes.
struct Trained : TinyRun {
  Trained(const comm::GroupPtr& group, const Setting& setting, double dropout = 0)
      : Trained(group, setting, tiny_spec("gpt2", dropout)) {}
  Trained(const comm::GroupPtr& group, const Setting& setting, models::ArchSpec spec)
      : TinyRun(group, config_of(setting), std::move(spec)) {}

  std::vector<double> losses(int steps) {
    std::vector<double> all;
    for (int64_t i = 0; i < steps * engine().gradient_accumulation_steps(); ++i) {
      const at::Tensor ids = on_device(ready.loader->next(), engine().group().device())[0];
      const at::Tensor loss = engine().forward([&] { return model->forward(ids, ids); });
      engine().backward(loss);
      engine().step();
      all.push_back(loss.item<double>());
    }
    return all;
  }
};

void expect_near(const std::vector<double>& actual, const std::vector<double>& expected, double tolerance,
                 const std::string& what) {
  ASSERT_EQ(actual.size(), expected.size());
  double worst = 0;
  for (size_t i = 0; i < actual.size(); ++i)
    worst = std::max(worst, std::abs(actual[i] - expected[i]) / std::abs(expected[i]));
  EXPECT_LT(worst, tolerance) << what;
  EXPECT_LT(actual.back(), actual.front()) << what << ": nothing is learnt";
  std::printf("%-60s losses differ by %.1e at most\n", what.c_str(), worst);
}

double tolerance_of(const Setting& s) { return s.precision == std::string("fp32") ? 1e-4 : 2e-2; }

void compare(const Setting& setting, double dropout = 0) {
  std::vector<double> expected = Trained(comm::single_group(), setting, dropout).losses(kSteps);
  Trained run(gpu(), setting, dropout);
  const auto actual = run.losses(kSteps);
  for (const auto& parameter : run.model->parameters()) EXPECT_TRUE(parameter.is_cuda());
  expect_near(actual, expected, tolerance_of(setting), name_of(setting));
}

TEST(OnTheGpu, EveryStageFollowsTheCpu) {
  DS_NEEDS_GPU();
  for (const char* precision : {"fp32", "bf16", "fp16"})
    for (const int stage : {0, 1, 2, 3}) compare({stage, precision});
}

TEST(OnTheGpu, OffloadedOptimizersFollowTheCpu) {
  DS_NEEDS_GPU();
  for (const char* precision : {"fp32", "bf16"})
    for (const int stage : {0, 1, 2, 3})
      for (const int accumulation : {1, 3}) compare({stage, precision, /*offload=*/true, accumulation});
}

TEST(OnTheGpu, OffloadedStatesLieInPageLockedMemory) {
  DS_NEEDS_GPU();
  for (const int stage : {0, 1, 2, 3}) {
    Trained run(gpu(), {stage, "bf16", /*offload=*/true});
    size_t pieces = 0;
    for (const auto& group : run.engine().optimizer().groups())
      for (const auto& piece : group.pieces) {
        ++pieces;
        EXPECT_TRUE(piece.param.is_pinned() && piece.grad.is_pinned() &&
                    piece.low_precision_copy.is_pinned());
        EXPECT_LE(piece.param.numel(), 700);
      }
    EXPECT_GT(pieces, run.model->parameters().size());
  }
}

TEST(OnTheGpu, OtherOptimizersAccumulationAndDropoutFollowTheCpu) {
  DS_NEEDS_GPU();
  for (const char* optimizer : {"Adam", "Lion", "Adagrad"}) compare({1, "fp32", false, 1, optimizer});
  for (const int stage : {0, 2, 3}) compare({stage, "fp32", false, 3});
  compare({1, "fp32"}, /*dropout=*/0.2);
}

models::ArchSpec bloom() {
  return models::parse_arch_spec(
      {{"model_type", "bloom"}, {"vocab_size", 61}, {"hidden_size", 24}, {"n_layer", 3}, {"n_head", 4}},
      "config.json");
}

TEST(OnTheGpu, OtherArchitecturesFollowTheCpu) {
  DS_NEEDS_GPU();
  for (const auto& spec : {tiny_spec("llama"), bloom()})
    for (const char* precision : {"fp32", "bf16"}) {
      const Setting setting{2, precision};
      const auto expected = Trained(comm::single_group(), setting, spec).losses(kSteps);
      expect_near(Trained(gpu(), setting, spec).losses(kSteps), expected, tolerance_of(setting),
                  spec.model_type + " " + precision);
    }
}

TEST(OnTheGpu, DocumentsOfOneRowDoNotSeeEachOther) {
  DS_NEEDS_GPU();
  const at::Tensor ids = at::arange(32).view({2, 16}) % 61;
  const at::Tensor starts = (at::arange(16).div(5, "floor") * 5).to(at::kInt).repeat({2, 1});
  for (const char* type : {"gpt2", "llama"}) {
    const auto loss = [&](const comm::GroupPtr& group) {
      Trained run(group, {0, "fp32"}, tiny_spec(type));
      const auto there = [&](const at::Tensor& t) { return t.to(group->device()); };
      return run.model->forward(there(ids), there(ids), std::optional<at::Tensor>(there(starts)))
          .item<double>();
    };
    EXPECT_NEAR(loss(gpu()) / loss(comm::single_group()), 1, 1e-5) << type;
  }
}

TEST(OnTheGpu, RecomputedLayersFollowTheCpu) {
  DS_NEEDS_GPU();
  const Setting setting{2, "fp32"};
  const auto expected = Trained(comm::single_group(), setting, 0.1).losses(kSteps);
  Trained run(gpu(), setting, 0.1);
  recompute::recompute_blocks(*run.model, recompute::layers_of(*run.model),
                              {.config = {}, .rng = run.rng, .print = {}});
  expect_near(run.losses(kSteps), expected, 1e-4, "recomputed");
}

TEST(OnTheGpu, CheckpointsAreReadByEither) {
  DS_NEEDS_GPU();
  const auto folder = std::filesystem::temp_directory_path() / ("ds_gpu_" + std::to_string(::getpid()));
  for (const Setting& setting :
       std::vector<Setting>{{0, "fp32"}, {2, "bf16"}, {3, "fp32"}, {2, "bf16", true}, {3, "fp32", true}}) {
    std::filesystem::remove_all(folder);
    Trained saved(gpu(), setting);
    saved.losses(5);
    saved.engine().save_checkpoint(folder);
    const auto expected = saved.losses(kSteps);
    for (const auto& group : {comm::single_group(), gpu()}) {
      Trained loaded(group, setting);
      ASSERT_TRUE(loaded.engine().load_checkpoint(folder));
      loaded.ready.loader->seek_samples(loaded.engine().global_samples());
      expect_near(loaded.losses(kSteps), expected, tolerance_of(setting),
                  name_of(setting) + " resumed on " + group->device().str());
    }
  }
  std::filesystem::remove_all(folder);
}

TEST(OnTheGpu, WholeWeightsComeBackToTheCpu) {
  DS_NEEDS_GPU();
  for (const int stage : {0, 3}) {
    Trained run(gpu(), {stage, "bf16"});
    run.losses(1);
    for (const auto& [name, tensor] : run.engine().module_state_dict()) EXPECT_TRUE(tensor.is_cpu()) << name;
    EXPECT_GT(accel::peak_device_bytes(run.engine().group().device()), 0);
  }
}

TEST(OnTheGpu, WhatIsNotThereYetIsRefusedBeforeAnythingIsBuilt) {
  DS_NEEDS_GPU();
  auto model = std::make_shared<models::Decoder>(tiny_spec(), nullptr);
  try {
    initialize({.model = model,
                .config = R"({"train_batch_size": 1, "optimizer": {"type": "Adam"}, "zero_optimization":
                              {"stage": 1, "offload_optimizer": {"device": "nvme", "nvme_path": "/tmp"}}})",
                .group = gpu()});
    FAIL() << "it was accepted";
  } catch (const base::Error& error) {
    EXPECT_THAT(error.what(),
                testing::HasSubstr("not available yet on a GPU: zero_optimization.offload_optimizer"));
  }
}

}  // namespace
}  // namespace deepspeed::engine
