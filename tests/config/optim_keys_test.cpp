#include <gmock/gmock.h>

#include "deepspeed/engine/parse_config.h"
#include "errors.h"

namespace deepspeed::optim {
namespace {

using ::testing::ElementsAre;
using testing::error_of;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

engine::DeepspeedConfig parse(const std::string& members) {
  return engine::parse_config(config::parse_text("{\"train_batch_size\": 8,\n" + members + "}", "ds.json"),
                              2);
}
std::string error_in(const std::string& members) {
  return error_of([&] { parse(members); });
}
OptimizerConfig optimizer(const std::string& block) { return parse("\"optimizer\": " + block).optimizer; }
SchedulerConfig scheduler(const std::string& block) { return parse("\"scheduler\": " + block).scheduler; }
std::string scheduler_error(const std::string& block) { return error_in("\"scheduler\": " + block); }

TEST(OptimizerKeys, AdamMeansAdamW) {
  OptimizerConfig adam = optimizer(R"({"type": "adam"})");
  EXPECT_EQ(adam.type, OptimizerType::kAdam);
  EXPECT_EQ(adam.lr, 1e-3);
  EXPECT_EQ(adam.betas[1], 0.999);
  EXPECT_EQ(adam.eps, 1e-8);
  EXPECT_EQ(adam.weight_decay, 0);
  EXPECT_TRUE(adam.decoupled_weight_decay());
  EXPECT_FALSE(optimizer(R"({"type": "Adam", "params": {"adam_w_mode": false}})").decoupled_weight_decay());
  EXPECT_TRUE(optimizer(R"({"type": "ADAMW", "params": {"adam_w_mode": false}})").decoupled_weight_decay());
}

TEST(OptimizerKeys, TorchAdamBringsTorchsWeightDecay) {
  EXPECT_EQ(optimizer(R"({"type": "AdamW", "params": {"torch_adam": true}})").weight_decay, 0.01);
  EXPECT_EQ(optimizer(R"({"type": "AdamW", "params": {"torch_adam": true, "weight_decay": 0}})").weight_decay,
            0);
  EXPECT_EQ(
      optimizer(R"({"type": "Adam", "params": {"torch_adam": true, "adam_w_mode": false}})").weight_decay, 0);
}

TEST(OptimizerKeys, OtherOptimizersAreKnownByName) {
  EXPECT_EQ(error_in(R"("optimizer": {"type": "Lamb", "params": {"max_coeff": 10}})"),
            "not available yet: optimizer Lamb (optimizer.type = \"Lamb\" at ds.json:2:15)");
  EXPECT_THAT(error_in(R"("optimizer": {"type": "onebitadam"})"),
              HasSubstr("not available yet: optimizer OneBitAdam"));
  EXPECT_EQ(error_in(R"("optimizer": {"type": "AdmaW"})"),
            "optimizer.type = \"AdmaW\" at ds.json:2:15: no such optimizer; did you mean \"AdamW\"?");
  EXPECT_THAT(error_in(R"("optimizer": {"type": "quantum"})"),
              HasSubstr("no such optimizer; Adam, AdamW, Adagrad and Lion"));
}

TEST(OptimizerKeys, AdagradAndLionHaveTheirOwnDefaultsAndParameters) {
  OptimizerConfig adagrad = optimizer(R"({"type": "adagrad"})");
  EXPECT_EQ(adagrad.type, OptimizerType::kAdagrad);
  EXPECT_EQ(adagrad.lr, 1e-2);
  EXPECT_EQ(adagrad.eps, 1e-10);
  adagrad = optimizer(
      R"({"type": "Adagrad", "params": {"lr": 1, "eps": 2, "lr_decay": 3, "initial_accumulator_value": 4}})");
  EXPECT_EQ(adagrad.lr, 1);
  EXPECT_EQ(adagrad.eps, 2);
  EXPECT_EQ(adagrad.lr_decay, 3);
  EXPECT_EQ(adagrad.initial_accumulator_value, 4);
  OptimizerConfig lion = optimizer(R"({"type": "LION", "params": {"fp32_optimizer_states": false}})");
  EXPECT_EQ(lion.type, OptimizerType::kLion);
  EXPECT_EQ(lion.lr, 1e-3);
  EXPECT_THAT(lion.betas, ElementsAre(0.9, 0.999));
  EXPECT_FALSE(lion.fp32_optimizer_states);
  EXPECT_TRUE(optimizer(R"({"type": "Lion"})").fp32_optimizer_states);
  EXPECT_THAT(error_in(R"("optimizer": {"type": "Lion", "params": {"eps": 1e-8}})"),
              HasSubstr("Lion has no such parameter; it has betas, fp32_optimizer_states, lr,"));
  EXPECT_THAT(error_in(R"("optimizer": {"type": "Adagrad", "params": {"betas": [0.9, 0.99]}})"),
              HasSubstr("optimizer.params.betas = [0.9,0.99] at ds.json:2"));
  EXPECT_THAT(error_in(R"("optimizer": {"type": "AdamW", "params": {"lr_decay": 0.1}})"),
              HasSubstr("AdamW has no such parameter"));
}

TEST(OptimizerKeys, ParametersAreChecked) {
  EXPECT_THAT(error_in(R"("optimizer": {"type": "Adam", "params": {"max_grad_norm": 1.0}})"),
              HasSubstr("write \"gradient_clipping\" at the top level instead"));
  EXPECT_THAT(error_in(R"("optimizer": {"type": "Adam", "params": {"betas": [0.9, 1.0]}})"),
              HasSubstr("optimizer.params.betas[1] must be a number >= 0 and < 1"));
  EXPECT_THAT(error_in(R"("optimizer": {"type": "Adam", "params": {"learning_rate": 1}})"),
              HasSubstr("unknown key 'learning_rate' in optimizer.params"));
  EXPECT_THAT(error_in(R"("optimizer": {"type": "Adam", "params": {"lr": "fast"}})"),
              HasSubstr("must be a number >= 0"));
  EXPECT_THAT(error_in(R"("optimizer": {"params": {"lr": 1}})"), HasSubstr("has params but no type"));
  EXPECT_EQ(error_in(R"("optimizer": {"type": null, "params": null})"), "");
}

TEST(SchedulerKeys, EveryScheduleHasItsDefaults) {
  auto range = std::get<LrRangeTestConfig>(scheduler(R"({"type": "LRRangeTest", "params": {}})").schedule);
  EXPECT_THAT(range.lr_range_test_min_lr, ElementsAre(1e-3));
  EXPECT_EQ(range.lr_range_test_step_size, 2000);
  auto cycle = std::get<OneCycleConfig>(
      scheduler(R"({"type": "OneCycle", "params": {"cycle_min_lr": 1e-4, "cycle_max_lr": 1e-3}})").schedule);
  EXPECT_EQ(cycle.cycle_first_step_size, 2000);
  EXPECT_EQ(cycle.cycle_second_step_size, std::nullopt);
  EXPECT_EQ(cycle.cycle_max_mom, 0.9);
  auto warmup = std::get<WarmupLrConfig>(scheduler(R"({"type": "WarmupLR"})").schedule);
  EXPECT_THAT(warmup.warmup_max_lr, IsEmpty());
  EXPECT_EQ(warmup.warmup_num_steps, 1000);
  EXPECT_EQ(warmup.warmup_type, WarmupType::kLog);
  auto decay = std::get<WarmupDecayLrConfig>(
      scheduler(R"({"type": "WarmupDecayLR", "params": {"total_num_steps": 100}})").schedule);
  EXPECT_EQ(decay.total_num_steps, 100);
  EXPECT_THAT(decay.warmup_max_lr, ElementsAre(1e-3));
  auto cosine = std::get<WarmupCosineLrConfig>(
      scheduler(R"({"type": "WarmupCosineLR", "params": {"total_num_steps": 100}})").schedule);
  EXPECT_EQ(cosine.cos_min_ratio, 1e-4);
}

TEST(SchedulerKeys, ValuesAreRead) {
  auto warmup = std::get<WarmupLrConfig>(
      scheduler(R"({"type": "WarmupLR", "params": {"warmup_min_lr": [0, 1e-5], "warmup_max_lr": null,
                    "warmup_type": "linear", "last_batch_iteration": -1}})")
          .schedule);
  EXPECT_THAT(warmup.warmup_min_lr, ElementsAre(0, 1e-5));
  EXPECT_EQ(warmup.warmup_type, WarmupType::kLinear);
  auto cycle = std::get<OneCycleConfig>(
      scheduler(
          R"({"type": "OneCycle", "params": {"cycle_min_lr": 1, "cycle_max_lr": 2, "cycle_first_step_size": 5,
                    "cycle_second_step_size": 7, "decay_step_size": 3, "decay_lr_rate": 0.1, "cycle_momentum": false}})")
          .schedule);
  EXPECT_EQ(cycle.cycle_second_step_size, 7);
  EXPECT_EQ(cycle.decay_lr_rate, 0.1);
  EXPECT_FALSE(cycle.cycle_momentum);
}

TEST(SchedulerKeys, MistakesAreNamed) {
  EXPECT_THAT(scheduler_error(R"({"type": "WarmupDecayLR", "params": {}})"),
              HasSubstr("scheduler.params needs 'total_num_steps' (ds.json:2:40)"));
  EXPECT_THAT(scheduler_error(R"({"type": "OneCycle"})"), HasSubstr("scheduler.params needs 'cycle_min_lr'"));
  EXPECT_EQ(scheduler_error(R"({"type": "WarmpLR"})"),
            "scheduler.type = \"WarmpLR\" at ds.json:2:15: no such schedule; did you mean \"WarmupLR\"?");
  EXPECT_THAT(scheduler_error(R"({"type": "StepLR", "params": {"step_size": 3}})"),
              HasSubstr("not available yet: torch.optim.lr_scheduler.StepLR"));
  EXPECT_THAT(scheduler_error(R"({"type": "WarmupLR", "params": {"warmup_num_step": 3}})"),
              HasSubstr("unknown key 'warmup_num_step' in scheduler.params at ds.json:2:46; did you mean "
                        "'warmup_num_steps'?"));
  EXPECT_THAT(scheduler_error(R"({"type": "WarmupLR", "params": {"warmup_num_steps": 0}})"),
              HasSubstr("> 0"));
  EXPECT_THAT(scheduler_error(R"({"type": "WarmupLR", "params": {"warmup_type": "cubic"}})"),
              HasSubstr("scheduler.params.warmup_type must be one of log, linear"));
  EXPECT_THAT(scheduler_error(R"({"params": {"x": 1}})"), HasSubstr("has params but no type"));
  EXPECT_THAT(scheduler_error(R"({"type": "WarmupLR", "params": 3})"), HasSubstr("must be an object"));
  EXPECT_EQ(scheduler_error(R"({"type": null, "params": null})"), "");
}

}  // namespace
}  // namespace deepspeed::optim
