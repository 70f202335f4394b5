// What "auto" stands for, key by key.
#include "deepspeed/engine/auto_values.h"

#include <gmock/gmock.h>

#include <filesystem>

#include "deepspeed/base/file.h"
#include "deepspeed/engine/parse_config.h"
#include "errors.h"

namespace deepspeed::engine {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using testing::error_of;
using ::testing::HasSubstr;

DeepspeedConfig parse(const std::string& text, const AutoFacts& facts = {}) {
  return parse_config(config::parse_text(text, "ds.json"), 2, facts);
}

TEST(AutoValues, BatchKeysFollowFromEachOther) {
  const auto engine = parse(R"({"train_batch_size": "auto", "train_micro_batch_size_per_gpu": 4,
                                "gradient_accumulation_steps": "auto"})")
                          .engine;
  EXPECT_EQ(engine.train_batch_size, 8);
  EXPECT_EQ(engine.gradient_accumulation_steps, 1);
  EXPECT_EQ(parse(R"({"train_batch_size": 12, "train_micro_batch_size_per_gpu": "auto",
                      "gradient_accumulation_steps": 3})")
                .engine.train_micro_batch_size_per_gpu,
            2);
}

TEST(AutoValues, AllBatchKeysTogetherAreHuggingFacesEightARank) {
  const DeepspeedConfig c = parse(R"({"train_batch_size": "auto", "train_micro_batch_size_per_gpu": "auto",
                                      "gradient_accumulation_steps": "auto"})");
  EXPECT_EQ(c.engine.train_batch_size, 16);
  EXPECT_THAT(c.warnings,
              Contains(HasSubstr("train_micro_batch_size_per_gpu = \"auto\" at ds.json:1:30: taken "
                                 "as 8 (the default of Hugging Face's TrainingArguments)")));
}

TEST(AutoValues, OptimizerAndClippingAreTheTrainersDefaults) {
  const DeepspeedConfig c =
      parse(R"({"train_batch_size": 8, "gradient_clipping": "auto", "optimizer": {"type": "AdamW",
      "params": {"lr": "auto", "betas": "auto", "eps": "auto", "weight_decay": "auto"}}})");
  EXPECT_EQ(c.engine.gradient_clipping, 1.0);
  EXPECT_EQ(c.optimizer.lr, 5e-5);
  EXPECT_THAT(c.optimizer.betas, ElementsAre(0.9, 0.999));
  EXPECT_EQ(c.optimizer.eps, 1e-8);
  EXPECT_EQ(c.optimizer.weight_decay, 0);
}

constexpr const char* kSchedule =
    R"({"train_batch_size": 8, "optimizer": {"type": "AdamW", "params": {"lr": 3e-4}},
    "scheduler": {"type": "WarmupDecayLR", "params": {"total_num_steps": "auto", "warmup_min_lr": "auto",
      "warmup_max_lr": "auto", "warmup_num_steps": "auto"}}})";

TEST(AutoValues, SchedulesTakeTheStepsOfTheRunAndTheOptimizersRate) {
  AutoFacts facts;
  facts.total_steps = 500;
  const auto schedule = std::get<optim::WarmupDecayLrConfig>(parse(kSchedule, facts).scheduler.schedule);
  EXPECT_EQ(schedule.total_num_steps, 500);
  EXPECT_EQ(schedule.warmup_num_steps, 1);
  EXPECT_THAT(schedule.warmup_min_lr, ElementsAre(0.0));
  EXPECT_THAT(schedule.warmup_max_lr, ElementsAre(3e-4));
}

TEST(AutoValues, WhatCannotBeKnownIsRefusedByOneLine) {
  EXPECT_EQ(
      error_of([] { parse(kSchedule); }),
      "scheduler.params.total_num_steps = \"auto\" at ds.json:2:55: \"auto\" cannot be resolved because the "
      "number of training steps is not known (--steps gives it); write the value itself, or leave the key "
      "out");
}

TEST(AutoValues, BucketsAndPrecisionFollowFromTheModel) {
  constexpr const char* kText =
      R"({"train_batch_size": 8, "bf16": {"enabled": "auto"}, "fp16": {"enabled": "auto"},
      "zero_optimization": {"stage": 2, "reduce_bucket_size": "auto", "prefetch_bucket_size": "auto"}})";
  AutoFacts facts;
  facts.hidden_size = 768;
  facts.model_dtype = config::DataType::kBf16;
  const DeepspeedConfig c = parse(kText, facts);
  EXPECT_EQ(c.zero.reduce_bucket_size, 768 * 768);
  EXPECT_TRUE(c.bf16.enabled);
  EXPECT_FALSE(c.fp16.enabled);
  const DeepspeedConfig unknown = parse(kText);
  EXPECT_EQ(unknown.zero.reduce_bucket_size, 500'000'000);
  EXPECT_FALSE(unknown.bf16.enabled);
}

TEST(AutoValues, FactsComeFromAModelsConfigJson) {
  const auto path = std::filesystem::temp_directory_path() / "ds_auto_values_config.json";
  base::write_text_file(path, R"({"n_embd": 96, "torch_dtype": "bfloat16"})");
  const AutoFacts facts = facts_of_model(path);
  EXPECT_EQ(facts.hidden_size, 96);
  EXPECT_EQ(facts.model_dtype, config::DataType::kBf16);
  base::write_text_file(path, R"({"hidden_size": 64})");
  EXPECT_EQ(facts_of_model(path).hidden_size, 64);
  EXPECT_EQ(facts_of_model(path).model_dtype, std::nullopt);
  std::filesystem::remove(path);
}

}  // namespace
}  // namespace deepspeed::engine
