#include "deepspeed/optim/optimizer.h"

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

at::Tensor values(const json& list) { return at::tensor(list.get<std::vector<double>>(), at::kDouble); }

at::Tensor made(int64_t n, double (*f)(double), double start, double divisor) {
  at::Tensor t = at::empty({n});
  for (int64_t i = 0; i < n; ++i) t[i] = f(static_cast<double>(i) + start) / divisor;
  return t;
}

TEST(OptimizerTest, StatesMayLiveInLentMemoryAndBeNowhere) {
  const auto group = [] {
    ParamGroup one = default_group(adam_config());
    one.pieces.push_back({.name = "w", .param = at::ones({5}), .grad = at::ones({5})});
    return one;
  };
  auto own = make_optimizer(adam_config(), {group()}), lent = make_optimizer(adam_config(), {group()});
  std::vector<at::Tensor> memory;
  for (const auto& spec : lent->state_specs(0, 0)) memory.push_back(at::zeros({5}, spec.dtype));
  for (int step = 0; step < 3; ++step) {
    lent->lend_states(0, 0, memory);
    own->step();
    lent->step();
    lent->lend_states(0, 0, {});
  }
  EXPECT_TRUE(at::equal(own->groups()[0].pieces[0].param, lent->groups()[0].pieces[0].param));
  EXPECT_TRUE(at::equal(memory[1], own->piece_state(0, 0).at("exp_avg_sq")));
  EXPECT_THROW(lent->step(), base::Error);
  EXPECT_THROW(lent->lend_states(0, 0, {memory[0]}), base::Error);
  EXPECT_THROW(lent->lend_states(0, 0, {at::zeros({4}), at::zeros({4})}), base::Error);
}

TEST(OptimizerTest, PiecesThatAreNotOffloadedAreSteppedAsWithoutOffload) {
  OptimizerConfig lion;
  lion.type = OptimizerType::kLion;
  const auto stepped = [&](bool offload, bool on_device) {
    ParamGroup group = default_group(lion);
    group.pieces.push_back(
        {.name = "w", .param = at::ones({5}), .grad = at::zeros({5}), .on_device = on_device});
    auto optimizer = make_optimizer(lion, {group}, {.cpu_offload = offload});
    optimizer->step();
    return optimizer->groups()[0].pieces[0].param;
  };
  // An exact 0 moves up in the one, down in the other.
  EXPECT_TRUE(at::equal(stepped(true, true), stepped(false, false)));
  EXPECT_FALSE(at::equal(stepped(true, false), stepped(false, false)));
}

TEST(OptimizerTest, AdamFollowsDeepSpeedsFusedAdam) {
  for (const json& golden : goldens()["adam"]) {
    OptimizerConfig config = adam_config();
    config.lr = golden["lr"], config.betas = golden["betas"], config.eps = golden["eps"];
    config.weight_decay = golden["weight_decay"];
    config.bias_correction = golden["bias_correction"], config.adam_w_mode = golden["adam_w_mode"];
    ParamGroup group = default_group(config);
    const auto n = static_cast<int64_t>(golden["param"].size());
    group.pieces.push_back({"w", made(n, std::cos, 0, 1), {}, {}});
    auto optimizer = make_optimizer(config, {std::move(group)});
    Piece& piece = optimizer->groups()[0].pieces[0];
    for (int step = 1; step <= golden["steps"]; ++step) {
      piece.grad = made(n, std::sin, 7.0 * step, step);
      optimizer->step();
    }
    // DeepSpeed rounds 1-beta to fp32 after subtracting in fp32, which shifts v by 1e-5 relative.
    const auto state = optimizer->piece_state(0, 0);
    EXPECT_TRUE(at::allclose(piece.param.to(at::kDouble), values(golden["param"]), 1e-5, 2e-6))
        << golden["lr"];
    EXPECT_TRUE(at::allclose(state.at("exp_avg").to(at::kDouble), values(golden["exp_avg"]), 1e-5, 1e-7));
    EXPECT_TRUE(
        at::allclose(state.at("exp_avg_sq").to(at::kDouble), values(golden["exp_avg_sq"]), 1e-4, 1e-9));
  }
}

TEST(OptimizerTest, SixteenBitPiecesAreRoundedAfterAStepInFp32) {
  // Longer than a tile of the update, and no multiple of one.
  const int64_t n = 3 * (1 << 14) + 5;
  for (at::ScalarType type : {at::kBFloat16, at::kHalf}) {
    const auto rounded = [&](const at::Tensor& t) { return t.to(type); };
    ParamGroup narrow = default_group(adam_config()), wide = narrow;
    const at::Tensor param = at::arange(n, at::kFloat).sin(), grad = rounded(at::arange(n, at::kFloat).cos());
    narrow.pieces.push_back({"w", rounded(param), grad, {}});
    wide.pieces.push_back({"w", rounded(param).to(at::kFloat), grad.to(at::kFloat), {}});
    auto ours = make_optimizer(adam_config(), {narrow}), reference = make_optimizer(adam_config(), {wide});
    for (int step = 0; step < 3; ++step) {
      ours->step(0.5), reference->step(0.5);
      const auto state = ours->piece_state(0, 0), want = reference->piece_state(0, 0);
      EXPECT_EQ(state.at("exp_avg").scalar_type(), type);
      EXPECT_TRUE(at::equal(narrow.pieces[0].param, rounded(wide.pieces[0].param)));
      for (const auto& [name, tensor] : want) {
        EXPECT_TRUE(at::equal(state.at(name), rounded(tensor))) << name;
        tensor.copy_(rounded(tensor));  // the next step starts from what is kept
      }
      wide.pieces[0].param.copy_(rounded(wide.pieces[0].param));
    }
  }
}

TEST(OptimizerTest, AdamMeansDecoupledDecayUnlessAdamWModeIsOff) {
  auto one_step = [](OptimizerType type, bool adam_w_mode) {
    OptimizerConfig config = adam_config(type);
    config.adam_w_mode = adam_w_mode, config.weight_decay = 0.5, config.lr = 0.1;
    ParamGroup group = default_group(config);
    group.pieces.push_back({"w", at::full({1}, 10.0f), at::zeros({1}), {}});
    auto optimizer = make_optimizer(config, {group});
    optimizer->step();
    return group.pieces[0].param.item<double>();
  };
  EXPECT_NEAR(one_step(OptimizerType::kAdam, true), 9.5,
              1e-5);  // p *= 1 - lr*wd; a zero gradient adds nothing
  EXPECT_NEAR(one_step(OptimizerType::kAdam, false), 9.9,
              1e-5);  // the decay is the gradient, Adam makes it lr
  EXPECT_NEAR(one_step(OptimizerType::kAdamW, true), 9.5, 1e-5);
  EXPECT_NEAR(one_step(OptimizerType::kAdamW, false), 9.5, 1e-5);  // adamw is always decoupled
}

std::unique_ptr<Optimizer> random_optimizer(uint64_t seed) {
  at::manual_seed(seed);
  std::vector<ParamGroup> groups(2);
  for (int i = 0; i < 3; ++i)
    groups[i % 2].pieces.push_back({"p" + std::to_string(i), at::randn({50 + i}), at::randn({50 + i}), {}});
  groups[1].lr = 0.1;
  return make_optimizer(adam_config(), groups);
}

TEST(OptimizerTest, EachGroupUsesItsOwnRate) {
  std::vector<ParamGroup> groups{group_of(1, "a", 0.25), group_of(1, "b", 0.5)};
  for (auto& g : groups) g.pieces[0].grad.fill_(3), g.eps = 0;
  auto optimizer = make_optimizer(adam_config(), groups);
  optimizer->step();
  EXPECT_NEAR(groups[0].pieces[0].param.item<double>(), -0.25, 1e-6);
  EXPECT_NEAR(groups[1].pieces[0].param.item<double>(), -0.5, 1e-6);
}

TEST(OptimizerTest, APieceWithoutGradientIsSkipped) {
  std::vector<ParamGroup> groups{group_of(4, "a"), group_of(4, "b")};
  groups[0].pieces[0].grad.reset();
  groups[1].pieces[0].grad.fill_(1);
  auto optimizer = make_optimizer(adam_config(), groups);
  optimizer->step();
  EXPECT_TRUE(at::equal(groups[0].pieces[0].param, at::zeros({4})));
  EXPECT_FALSE(at::equal(groups[1].pieces[0].param, at::zeros({4})));
  EXPECT_EQ(optimizer->step_count(), 1);
}

TEST(OptimizerTest, SteppingPieceByPieceEqualsOneStep) {
  auto whole = random_optimizer(3), tiled = random_optimizer(3);
  for (int i = 0; i < 3; ++i) {
    whole->step(0.5);
    tiled->begin_step();
    for (auto [g, p] : {std::pair{1, 0}, {0, 1}, {0, 0}}) tiled->step_piece(g, p, 0.5);
  }
  for (size_t g = 0; g < 2; ++g)
    for (size_t p = 0; p < whole->groups()[g].pieces.size(); ++p)
      EXPECT_TRUE(at::equal(whole->groups()[g].pieces[p].param, tiled->groups()[g].pieces[p].param));
  EXPECT_EQ(tiled->step_count(), 3);
}

TEST(OptimizerTest, ASavedStateGoesOnBitForBit) {
  auto first = random_optimizer(5), second = random_optimizer(5);
  for (int i = 0; i < 4; ++i) first->step();
  for (size_t g = 0; g < 2; ++g)
    for (size_t p = 0; p < first->groups()[g].pieces.size(); ++p) {
      second->groups()[g].pieces[p].param.copy_(first->groups()[g].pieces[p].param);
      second->load_piece_state(g, p, first->piece_state(g, p));
    }
  second->set_step_count(first->step_count());
  for (int i = 0; i < 3; ++i) first->step(), second->step();
  for (size_t g = 0; g < 2; ++g)
    EXPECT_TRUE(at::equal(first->groups()[g].pieces[0].param, second->groups()[g].pieces[0].param));
}

TEST(OptimizerTest, TheLowPrecisionCopyFollowsTheMasterPiece) {
  ParamGroup group = group_of(1000, "w");
  group.pieces[0].grad = at::randn({1000}).to(at::kBFloat16);
  group.pieces[0].low_precision_copy = at::zeros({1000}, at::kBFloat16);
  auto optimizer = make_optimizer(adam_config(), {group});
  optimizer->step();
  EXPECT_TRUE(at::equal(group.pieces[0].low_precision_copy, group.pieces[0].param.to(at::kBFloat16)));
  EXPECT_GT(group.pieces[0].param.abs().max().item<double>(), 0);
}

TEST(OptimizerTest, WrongPiecesAndForeignStatesAreNamed) {
  auto message = [](auto&& f) -> std::string {
    try {
      f();
    } catch (const base::Error& e) {
      return e.what();
    }
    return "no error";
  };
  using ::testing::HasSubstr;
  EXPECT_THAT(message([] { make_optimizer({}, {}); }), HasSubstr("set optimizer.type"));
  EXPECT_THAT(message([] {
                make_optimizer(adam_config(), {group_of(1, "a"), group_of(1, "a")});
              }),
              HasSubstr("two pieces are named 'a'"));
  ParamGroup doubles = group_of(2, "h");
  doubles.pieces[0].param = at::zeros({2}, at::kDouble);
  EXPECT_THAT(message([&] { make_optimizer(adam_config(), {doubles}); }),
              HasSubstr("piece 'h' needs a 1-D param in fp32, bf16 or fp16"));
  auto optimizer = make_optimizer(adam_config(), {group_of(4, "w")});
  const at::Tensor four = at::zeros({4});
  EXPECT_THAT(message([&] {
                optimizer->load_piece_state(0, 0, {{"exp_avg", four}});
              }),
              HasSubstr("lacks 'exp_avg_sq' of piece 'w'"));
  EXPECT_THAT(message([&] {
                optimizer->load_piece_state(0, 0, {{"momentum", four}});
              }),
              HasSubstr("has no state 'momentum'"));
  EXPECT_THAT(message([&] {
                optimizer->load_piece_state(0, 0, {{"exp_avg", four}, {"exp_avg_sq", at::zeros({5})}});
              }),
              HasSubstr("has 4 elements, the checkpoint has 5"));
  EXPECT_THAT(message([&] { optimizer->step_piece(0, 1); }), HasSubstr("no piece 1 in group 0"));
}

}  // namespace
}  // namespace deepspeed::optim
