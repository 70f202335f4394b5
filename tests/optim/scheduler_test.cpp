#include "deepspeed/optim/scheduler.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "deepspeed/base/error.h"
#include "tests/optim/goldens.h"

namespace deepspeed::optim {
namespace {

using nlohmann::json;
using testing::adam_config;
using testing::goldens;
using testing::group_of;

PerGroup per_group(const json& params, const char* key, PerGroup otherwise) {
  if (!params.contains(key)) return otherwise;
  return params[key].is_array() ? params[key].get<PerGroup>() : PerGroup{params[key].get<double>()};
}

WarmupType warmup_type(const json& p) {
  return p.value("warmup_type", "log") == "log" ? WarmupType::kLog : WarmupType::kLinear;
}

std::optional<int64_t> optional_int(const json& p, const char* key) {
  return p.contains(key) && !p[key].is_null() ? std::optional(p[key].get<int64_t>()) : std::nullopt;
}

OneCycleConfig one_cycle(const json& p) {
  OneCycleConfig c;
  c.cycle_min_lr = p["cycle_min_lr"], c.cycle_max_lr = p["cycle_max_lr"];
  c.decay_lr_rate = p.value("decay_lr_rate", 0.0);
  c.cycle_first_step_size = p.value("cycle_first_step_size", 2000);
  c.cycle_second_step_size = optional_int(p, "cycle_second_step_size");
  c.cycle_first_stair_count = p.value("cycle_first_stair_count", 0);
  c.cycle_second_stair_count = optional_int(p, "cycle_second_stair_count");
  c.decay_step_size = p.value("decay_step_size", 0);
  c.cycle_momentum = p.value("cycle_momentum", true);
  c.cycle_min_mom = p.value("cycle_min_mom", 0.8), c.cycle_max_mom = p.value("cycle_max_mom", 0.9);
  c.decay_mom_rate = p.value("decay_mom_rate", 0.0);
  return c;
}

SchedulerConfig config_of(const std::string& type, const json& p) {
  const int64_t total = p.value("total_num_steps", 0), warmup = p.value("warmup_num_steps", 1000);
  if (type == "WarmupLR")
    return {WarmupLrConfig{per_group(p, "warmup_min_lr", {0}), per_group(p, "warmup_max_lr", {}), warmup,
                           warmup_type(p)}};
  if (type == "WarmupDecayLR")
    return {WarmupDecayLrConfig{total, per_group(p, "warmup_min_lr", {0}),
                                per_group(p, "warmup_max_lr", {1e-3}), warmup, warmup_type(p)}};
  if (type == "WarmupCosineLR")
    return {WarmupCosineLrConfig{total, p.value("warmup_min_ratio", 0.0), warmup,
                                 p.value("cos_min_ratio", 1e-4), warmup_type(p)}};
  if (type == "LRRangeTest")
    return {LrRangeTestConfig{
        per_group(p, "lr_range_test_min_lr", {1e-3}), p.value("lr_range_test_step_size", 2000),
        p.value("lr_range_test_step_rate", 1.0), p.value("lr_range_test_staircase", false)}};
  return {one_cycle(p)};
}

std::unique_ptr<Optimizer> two_groups() {
  std::vector<ParamGroup> groups;
  for (double lr : goldens()["group_lrs"])
    groups.push_back(group_of(1, "group" + std::to_string(groups.size()), lr));
  return make_optimizer(adam_config(), std::move(groups));
}

/// What the goldens hold: the rate of each group and, as OneCycle changes them, the betas.
std::vector<double> state_of(Optimizer& optimizer, size_t length) {
  const auto& g = optimizer.groups();
  std::vector<double> state{g[0].lr, g[1].lr, g[0].betas[0], g[0].betas[1]};
  EXPECT_EQ(g[0].betas, g[1].betas);
  state.resize(length);
  return state;
}

void expect_close(const std::vector<double>& actual, const std::vector<double>& expected,
                  const std::string& where) {
  for (size_t i = 0; i < expected.size(); ++i)
    EXPECT_NEAR(actual[i], expected[i], 1e-12 * std::abs(expected[i])) << where << " value " << i;
}

TEST(SchedulerTest, FollowsDeepSpeedThroughEveryGoldenTrace) {
  ASSERT_GE(goldens()["schedules"].size(), 40u);
  for (const json& golden : goldens()["schedules"]) {
    auto optimizer = two_groups();
    auto scheduler = make_scheduler(config_of(golden["type"], golden["params"]), *optimizer);
    EXPECT_EQ(scheduler->type(), golden["type"]);
    for (size_t i = 0; i < golden["states"].size(); ++i) {
      if (i > 0) scheduler->step();
      const auto expected = golden["states"][i].get<std::vector<double>>();
      const auto where =
          golden["type"].get<std::string>() + golden["params"].dump() + " step " + std::to_string(i);
      expect_close(state_of(*optimizer, expected.size()), expected, where);
      expect_close(scheduler->get_lr(), {expected[0], expected[1]}, where + " get_lr");
      if (HasFailure()) return;
    }
  }
}

TEST(SchedulerTest, ResumingWritesWhatNeverStoppingWouldHave) {
  for (const json& golden : goldens()["schedules"]) {
    auto optimizer = two_groups(), resumed_optimizer = two_groups();
    const auto config = config_of(golden["type"], golden["params"]);
    auto scheduler = make_scheduler(config, *optimizer), resumed = make_scheduler(config, *resumed_optimizer);
    for (int i = 0; i < 17; ++i) scheduler->step();
    EXPECT_EQ(scheduler->state_dict(), (std::map<std::string, double>{{"last_batch_iteration", 16}}));
    resumed->load_state_dict(scheduler->state_dict());
    for (int i = 0; i < 20; ++i) {
      EXPECT_EQ(state_of(*optimizer, 4), state_of(*resumed_optimizer, 4))
          << golden["type"] << golden["params"];
      scheduler->step(), resumed->step();
    }
  }
}

TEST(SchedulerTest, LogarithmicWarmupStartsTwiceAtTheMinimum) {
  auto optimizer = two_groups();
  auto scheduler = make_scheduler({WarmupLrConfig{{1e-5}, {1e-3}, 10, WarmupType::kLog}}, *optimizer);
  EXPECT_EQ(optimizer->groups()[0].lr, 1e-5);
  scheduler->step();
  EXPECT_EQ(optimizer->groups()[0].lr, 1e-5);
  scheduler->step();
  EXPECT_GT(optimizer->groups()[0].lr, 1e-5);
}

/// A rule without momentum.
class PlainDescent : public Optimizer {
 public:
  using Optimizer::Optimizer;
  PieceState piece_state(size_t, size_t) override { return {}; }
  std::string type() const override { return "plain"; }
  bool has_betas() const override { return false; }

 protected:
  void update(size_t group, size_t piece, double grad_scale) override {
    piece_at(group, piece).param.sub_(piece_at(group, piece).grad, groups()[group].lr * grad_scale);
  }
};

TEST(SchedulerTest, OneCycleLeavesTheBetasOfARuleWithoutMomentumAlone) {
  std::vector<ParamGroup> groups;
  groups.push_back(group_of(1, "w"));
  PlainDescent optimizer(std::move(groups));
  OneCycleConfig config;
  config.cycle_min_lr = 0.1, config.cycle_max_lr = 1, config.cycle_first_step_size = 3;
  auto scheduler = make_scheduler({config}, optimizer);
  scheduler->step();
  EXPECT_EQ(optimizer.groups()[0].betas, (std::array<double, 2>{0.9, 0.999}));
  EXPECT_GT(optimizer.groups()[0].lr, 0.1);
}

TEST(SchedulerTest, NoScheduleIsNull) {
  auto optimizer = two_groups();
  EXPECT_EQ(make_scheduler({}, *optimizer), nullptr);
  EXPECT_EQ(optimizer->groups()[1].lr, goldens()["group_lrs"][1]);
}

TEST(SchedulerTest, ImpossibleSettingsAndStatesAreNamed) {
  auto optimizer = two_groups();
  auto message = [&](const SchedulerConfig& config) -> std::string {
    try {
      make_scheduler(config, *optimizer);
    } catch (const base::Error& e) {
      return e.what();
    }
    return "no error";
  };
  using ::testing::HasSubstr;
  EXPECT_THAT(message({WarmupLrConfig{{1, 2, 3}, {}, 10, WarmupType::kLog}}),
              HasSubstr("warmup_min_lr: expected one value or 2, one a parameter group; got 3"));
  EXPECT_THAT(message({WarmupLrConfig{{0}, {}, 0, WarmupType::kLog}}),
              HasSubstr("warmup_num_steps must be positive"));
  EXPECT_THAT(message({WarmupDecayLrConfig{}}), HasSubstr("total_num_steps must be positive"));
  OneCycleConfig cycle;
  cycle.cycle_first_step_size = 0;
  EXPECT_THAT(message({cycle}), HasSubstr("cycle_first_step_size must be positive"));
  LrRangeTestConfig range;
  range.lr_range_test_step_size = 0;
  EXPECT_THAT(message({range}), HasSubstr("lr_range_test_step_size must be positive"));
  auto scheduler = make_scheduler({WarmupLrConfig{}}, *optimizer);
  EXPECT_THROW(scheduler->load_state_dict({}), base::Error);
  EXPECT_THROW(scheduler->load_state_dict({{"last_batch_iteration", -2}}), base::Error);
}

}  // namespace
}  // namespace deepspeed::optim
