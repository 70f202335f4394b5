#include "deepspeed/optim/torch_optimizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/optim/adagrad.h>
#include <torch/optim/adam.h>
#include <torch/optim/adamw.h>
#include <torch/optim/lbfgs.h>
#include <torch/optim/rmsprop.h>
#include <torch/optim/sgd.h>

#include "deepspeed/base/error.h"
#include "tests/optim/goldens.h"

namespace deepspeed::optim {
namespace {

namespace to = torch::optim;
using testing::adam_config;

std::vector<std::pair<std::string, TorchOptimizerFactory>> rules() {
  return {
      {"sgd",
       [](auto g) { return std::make_unique<to::SGD>(g, to::SGDOptions(0.1).momentum(0.9).dampening(0.5)); }},
      {"adam", [](auto g) { return std::make_unique<to::Adam>(g, to::AdamOptions(0.1).weight_decay(0.1)); }},
      {"adamw", [](auto g) { return std::make_unique<to::AdamW>(g, to::AdamWOptions(0.1).amsgrad(true)); }},
      {"rmsprop",
       [](auto g) {
         return std::make_unique<to::RMSprop>(g, to::RMSpropOptions(0.1).momentum(0.5).centered(true));
       }},
      {"adagrad",
       [](auto g) { return std::make_unique<to::Adagrad>(g, to::AdagradOptions(0.1).lr_decay(0.01)); }}};
}

std::vector<ParamGroup> two_groups() {
  at::manual_seed(11);
  std::vector<ParamGroup> groups(2);
  for (int i = 0; i < 3; ++i)
    groups[i % 2].pieces.push_back({"p" + std::to_string(i), at::randn({20}), at::randn({20}), {}});
  return groups;
}

TEST(TorchOptimizerTest, MovesPiecesAsTorchWouldMoveParameters) {
  for (auto& [type, make] : rules()) {
    auto ours = torch_optimizer(make)(two_groups());
    EXPECT_EQ(ours->type(), type);
    EXPECT_EQ(ours->groups()[0].lr, 0.1) << "the client's own rate";
    std::vector<at::Tensor> parameters;
    std::vector<to::OptimizerParamGroup> torch_groups;
    for (auto& group : two_groups()) {
      std::vector<at::Tensor> row;
      for (auto& piece : group.pieces) {
        row.push_back(piece.param);
        row.back().mutable_grad() = piece.grad * 0.5;
        parameters.push_back(row.back());
      }
      torch_groups.emplace_back(row);
    }
    auto theirs = make(std::move(torch_groups));
    for (int i = 0; i < 4; ++i) {
      if (i == 2) {
        ours->groups()[1].lr = 0.02;
        theirs->param_groups()[1].options().set_lr(0.02);
      }
      ours->step(0.5), theirs->step();
    }
    size_t next = 0;
    for (auto& group : ours->groups())
      for (auto& piece : group.pieces)
        EXPECT_TRUE(at::equal(piece.param, parameters[next++])) << type << piece.name;
  }
}

TEST(TorchOptimizerTest, ASavedStateGoesOnBitForBit) {
  for (auto& [type, make] : rules()) {
    auto first = torch_optimizer(make)(two_groups()), second = torch_optimizer(make)(two_groups());
    for (int i = 0; i < 3; ++i) first->step();
    for (size_t g = 0; g < 2; ++g)
      for (size_t p = 0; p < first->groups()[g].pieces.size(); ++p) {
        // A new buffer: the owner may move pieces.
        second->groups()[g].pieces[p].param = first->groups()[g].pieces[p].param.clone();
        second->load_piece_state(g, p, first->piece_state(g, p));
      }
    second->set_step_count(3);
    for (int i = 0; i < 3; ++i) first->step(), second->step();
    for (size_t g = 0; g < 2; ++g)
      EXPECT_TRUE(at::equal(first->groups()[g].pieces[0].param, second->groups()[g].pieces[0].param)) << type;
  }
}

TEST(TorchOptimizerTest, LowPrecisionCopiesFollowAndBetasAreKnown) {
  auto groups = two_groups();
  groups[0].pieces[0].low_precision_copy = at::zeros({20}, at::kBFloat16);
  auto optimizer = torch_optimizer(rules()[1].second)(groups);
  optimizer->step();
  EXPECT_TRUE(at::equal(groups[0].pieces[0].low_precision_copy, groups[0].pieces[0].param.to(at::kBFloat16)));
  EXPECT_TRUE(optimizer->has_betas());
  EXPECT_FALSE(torch_optimizer(rules()[0].second)(two_groups())->has_betas());
}

TEST(TorchOptimizerTest, RulesThatNeedMoreThanPiecesAreRefused) {
  auto lbfgs = [](std::vector<to::OptimizerParamGroup> g) {
    return std::make_unique<to::LBFGS>(std::vector{g[0]});
  };
  std::vector<ParamGroup> one{two_groups()[0]};
  try {
    torch_optimizer(lbfgs)(one);
    FAIL();
  } catch (const base::Error& e) {
    EXPECT_THAT(e.what(), ::testing::HasSubstr("derive from deepspeed::optim::Optimizer"));
  }
  auto sgd = torch_optimizer(rules()[0].second)(one);
  EXPECT_THROW(sgd->load_piece_state(0, 0, {{"exp_avg", at::zeros({20})}}), base::Error);
  EXPECT_THROW(sgd->load_piece_state(0, 0, {{"momentum_buffer", at::zeros({3})}}), base::Error);
}

}  // namespace
}  // namespace deepspeed::optim
