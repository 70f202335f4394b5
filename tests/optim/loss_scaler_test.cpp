#include "deepspeed/optim/loss_scaler.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "deepspeed/base/error.h"
#include "tests/optim/goldens.h"

namespace deepspeed::optim {
namespace {

using nlohmann::json;
using testing::goldens;

Fp16Config config_of(const json& golden) {
  Fp16Config c;
  c.enabled = true;
  c.initial_scale_power = golden["initial_scale_power"];
  c.loss_scale_window = golden["loss_scale_window"];
  c.hysteresis = golden["hysteresis"];
  c.consecutive_hysteresis = golden["consecutive_hysteresis"];
  c.min_loss_scale = golden["min_loss_scale"];
  return c;
}

std::map<std::string, double> state_of(const json& s) {
  return {{"cur_scale", s[0]}, {"cur_iter", s[1]}, {"last_overflow_iter", s[2]}, {"cur_hysteresis", s[3]}};
}

TEST(LossScalerTest, FollowsDeepSpeedThroughEveryGoldenTrace) {
  int failing = 0;
  for (const json& golden : goldens()["scalers"]) {
    LossScaler scaler(config_of(golden));
    const auto& states = golden["states"];
    for (size_t i = 0; i < states.size(); ++i) {
      scaler.update(golden["overflows"][i].get<int>() != 0);
      ASSERT_EQ(scaler.state(), state_of(states[i])) << golden["hysteresis"] << " step " << i;
      ASSERT_EQ(scaler.scale(), states[i][0]);
    }
    if (!golden["fails_at_the_end"].get<bool>()) continue;
    ++failing;
    EXPECT_THROW(scaler.update(true), base::Error);
  }
  EXPECT_GT(failing, 0);
}

TEST(LossScalerTest, ALoadedStateGoesOnLikeTheSavedOne) {
  for (const json& golden : goldens()["scalers"]) {
    const auto& states = golden["states"];
    const size_t middle = states.size() / 2;
    LossScaler scaler(config_of(golden));
    scaler.load_state(state_of(states[middle]));
    for (size_t i = middle + 1; i < states.size(); ++i) {
      scaler.update(golden["overflows"][i].get<int>() != 0);
      ASSERT_EQ(scaler.state(), state_of(states[i]));
    }
  }
}

TEST(LossScalerTest, StaticAndAbsentScalesNeverMove) {
  Fp16Config config;
  config.enabled = true;
  config.loss_scale = 128;
  LossScaler fixed(config), none;
  EXPECT_EQ(none.scale(), 1);
  for (bool overflow : {true, true, false, true}) fixed.update(overflow), none.update(overflow);
  EXPECT_EQ(fixed.scale(), 128);
  EXPECT_EQ(none.scale(), 1);
  EXPECT_FALSE(fixed.dynamic());
  EXPECT_FALSE(none.dynamic());
}

TEST(LossScalerTest, WithoutZeroEveryOverflowHalvesDownToTheFloor) {
  Fp16Config config;
  config.enabled = true;
  config.initial_scale_power = 3;
  config.hysteresis = 4;
  config.loss_scale_window = 2;
  config.min_loss_scale = 2;
  LossScaler scaler(config, ScaleRule::kHalve);
  std::vector<double> scales;
  for (bool overflow : {true, true, true, true, false, false, false, false, false})
    scaler.update(overflow), scales.push_back(scaler.scale());
  EXPECT_EQ(scales, (std::vector<double>{4, 2, 2, 2, 2, 2, 4, 4, 8}));
}

TEST(LossScalerTest, UnderAutocastItIsTorchsGradScaler) {
  LossScaler scaler = LossScaler::grad_scaler();
  EXPECT_EQ(scaler.scale(), 65536);
  for (int i = 0; i < 1999; ++i) scaler.update(false);
  EXPECT_EQ(scaler.scale(), 65536);
  scaler.update(false);
  EXPECT_EQ(scaler.scale(), 131072);
  scaler.update(true);
  EXPECT_EQ(scaler.scale(), 65536);
  for (int i = 0; i < 1999; ++i) scaler.update(false);
  EXPECT_EQ(scaler.scale(), 65536);
  scaler.update(false);
  EXPECT_EQ(scaler.scale(), 131072);
  for (int i = 0; i < 18; ++i) scaler.update(true);
  EXPECT_EQ(scaler.scale(), 0.5);
}

TEST(LossScalerTest, TheFloorAndAForeignStateAreExplained) {
  Fp16Config config;
  config.enabled = true;
  config.initial_scale_power = 1;
  config.hysteresis = 1;
  LossScaler scaler(config);
  scaler.update(true);
  EXPECT_EQ(scaler.scale(), 1);
  try {
    scaler.update(true);
    FAIL();
  } catch (const base::Error& e) {
    EXPECT_THAT(e.what(), ::testing::HasSubstr(
                              "Current loss scale already at minimum (1) - cannot decrease scale anymore"));
  }
  EXPECT_THROW(scaler.load_state({{"cur_scale", 128}}), base::Error);
  EXPECT_EQ(scaler.scale(), 1);
}

}  // namespace
}  // namespace deepspeed::optim
