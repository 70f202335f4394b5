// What make_optimizer makes of each type, with and without offload.
#include <gmock/gmock.h>
#include <torch/optim/adagrad.h>

#include "deepspeed/base/error.h"
#include "deepspeed/ops/adagrad.h"
#include "deepspeed/ops/adam.h"
#include "deepspeed/ops/lion.h"
#include "tests/optim/goldens.h"

namespace deepspeed::optim {
namespace {

using ops::UpdateOrder;
using testing::adam_config;

constexpr OptimizerType kTypes[] = {OptimizerType::kAdam, OptimizerType::kAdamW, OptimizerType::kAdagrad,
                                    OptimizerType::kLion};

OptimizerConfig config_of(OptimizerType type) {
  OptimizerConfig config = adam_config(type);
  config.lr = 0.02, config.weight_decay = 0.1;
  return config;
}

ParamGroup random_group(const OptimizerConfig& config, int64_t n, at::ScalarType type = at::kFloat) {
  at::manual_seed(7);
  ParamGroup group = default_group(config);
  group.pieces.push_back({"w", at::randn({n}).to(type), at::randn({n}).to(type), {}});
  return group;
}

// Three updates by the kernel itself.
at::Tensor by_kernel(const OptimizerConfig& config, UpdateOrder order) {
  const Piece piece = random_group(config, 1000).pieces[0];
  const at::Tensor first = at::zeros({1000}), second = at::zeros({1000});
  for (int64_t step = 1; step <= 3; ++step) {
    if (*config.type == OptimizerType::kAdagrad)
      ops::adagrad_step(
          piece.param, piece.grad, first,
          {.lr = 0.02, .eps = config.eps, .weight_decay = 0.1, .grad_scale = 0.5, .order = order});
    else if (*config.type == OptimizerType::kLion)
      ops::lion_step(piece.param, piece.grad, first,
                     {.lr = 0.02, .weight_decay = 0.1, .grad_scale = 0.5, .order = order});
    else
      ops::adam_step(piece.param, piece.grad, first, second,
                     {.lr = 0.02, .weight_decay = 0.1, .step = step, .grad_scale = 0.5, .order = order});
  }
  return piece.param;
}

at::Tensor by_optimizer(const OptimizerConfig& config, const OptimizerOptions& options) {
  const ParamGroup group = random_group(config, 1000);
  auto optimizer = make_optimizer(config, {group}, options);
  for (int i = 0; i < 3; ++i) optimizer->step(0.5);
  return group.pieces[0].param;
}

TEST(RulesTest, OffloadAndOrderDecideOnTheArithmetic) {
  for (OptimizerType type : kTypes) {
    const OptimizerConfig config = config_of(type);
    const bool adam = type == OptimizerType::kAdam || type == OptimizerType::kAdamW;
    const UpdateOrder usual = adam ? UpdateOrder::kCpu : UpdateOrder::kFused;
    EXPECT_TRUE(at::equal(by_optimizer(config, {}), by_kernel(config, usual)));
    EXPECT_TRUE(at::equal(by_optimizer(config, {.cpu_offload = true}), by_kernel(config, UpdateOrder::kCpu)));
    for (UpdateOrder order : {UpdateOrder::kFused, UpdateOrder::kCpu})
      EXPECT_TRUE(at::equal(by_optimizer(config, {.order = order}), by_kernel(config, order)));
  }
}

TEST(RulesTest, AdagradWithoutOffloadFollowsTorch) {
  OptimizerConfig config = config_of(OptimizerType::kAdagrad);
  config.eps = 1e-10, config.lr_decay = 0.25, config.initial_accumulator_value = 0.5;
  const ParamGroup group = random_group(config, 1003);
  at::Tensor torchs = group.pieces[0].param.clone().set_requires_grad(true);
  torchs.mutable_grad() = group.pieces[0].grad;
  auto ours = make_optimizer(config, {group});
  torch::optim::Adagrad theirs(
      {torchs},
      torch::optim::AdagradOptions(0.02).lr_decay(0.25).weight_decay(0.1).initial_accumulator_value(0.5).eps(
          1e-10));
  for (int i = 0; i < 6; ++i) ours->step(), theirs.step();
  // Six roundings of either, of numbers up to 4.
  EXPECT_TRUE(at::allclose(group.pieces[0].param, torchs.detach(), 0, 6 * 2.4e-7));
}

TEST(RulesTest, TypesAndStatesAreNamed) {
  const std::map<OptimizerType, std::pair<std::string, std::vector<std::string>>> wanted{
      {OptimizerType::kAdam, {"adam", {"exp_avg", "exp_avg_sq"}}},
      {OptimizerType::kAdamW, {"adamw", {"exp_avg", "exp_avg_sq"}}},
      {OptimizerType::kAdagrad, {"adagrad", {"sum"}}},
      {OptimizerType::kLion, {"lion", {"exp_avg"}}}};
  for (bool cpu_offload : {false, true})
    for (const auto& [type, names] : wanted) {
      const OptimizerConfig config = config_of(type);
      auto optimizer = make_optimizer(config, {random_group(config, 9)}, {.cpu_offload = cpu_offload});
      EXPECT_EQ(optimizer->type(), names.first);
      EXPECT_EQ(optimizer->has_betas(), type != OptimizerType::kAdagrad);
      std::vector<std::string> keys;
      for (const auto& [key, tensor] : optimizer->piece_state(0, 0)) keys.push_back(key);
      EXPECT_EQ(keys, names.second);
    }
}

TEST(RulesTest, StatesFollowThePieceUnlessOffloadKeepsThemInFp32) {
  for (OptimizerType type : kTypes)
    for (auto param : {at::kFloat, at::kBFloat16, at::kHalf}) {
      OptimizerConfig config = config_of(type);
      const auto state_type = [&](bool cpu_offload) {
        auto optimizer =
            make_optimizer(config, {random_group(config, 9, param)}, {.cpu_offload = cpu_offload});
        optimizer->step();
        return optimizer->piece_state(0, 0).begin()->second.scalar_type();
      };
      EXPECT_EQ(state_type(false), param);
      EXPECT_EQ(state_type(true), at::kFloat);
      config.fp32_optimizer_states = false;
      EXPECT_EQ(state_type(true), param);
    }
}

TEST(RulesTest, ASavedStateGoesOnBitForBitAlsoUnderOffload) {
  for (OptimizerType type : kTypes) {
    const OptimizerConfig config = config_of(type);
    const ParamGroup a = random_group(config, 100), b = random_group(config, 100);
    auto first = make_optimizer(config, {a}), second = make_optimizer(config, {b}, {.cpu_offload = true});
    for (int i = 0; i < 4; ++i) first->step();
    b.pieces[0].param.copy_(a.pieces[0].param);
    second->load_piece_state(0, 0, first->piece_state(0, 0));
    second->set_step_count(first->step_count());
    first->step(), second->step();
    EXPECT_TRUE(at::allclose(a.pieces[0].param, b.pieces[0].param, 1e-6, 1e-7));
    const bool same_order = type == OptimizerType::kAdam || type == OptimizerType::kAdamW;
    EXPECT_TRUE(!same_order || at::equal(a.pieces[0].param, b.pieces[0].param));
  }
}

TEST(RulesTest, ParametersOfTheOtherClassAreRefused) {
  const auto message = [](const OptimizerConfig& config, bool cpu_offload) -> std::string {
    try {
      make_optimizer(config, {random_group(config, 2)}, {.cpu_offload = cpu_offload});
    } catch (const base::Error& e) {
      return e.what();
    }
    return "none";
  };
  OptimizerConfig config = config_of(OptimizerType::kAdam);
  config.fp32_optimizer_states = false;
  EXPECT_THAT(message(config, false), ::testing::HasSubstr("needs optimizer offload"));
  EXPECT_EQ(message(config, true), "none");
  config = config_of(OptimizerType::kAdagrad);
  config.lr_decay = 0.1;
  EXPECT_THAT(message(config, true), ::testing::HasSubstr("cannot be had with optimizer offload"));
  EXPECT_EQ(message(config, false), "none");
}

}  // namespace
}  // namespace deepspeed::optim
