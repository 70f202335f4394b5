#include "deepspeed/ops/lion.h"

#include <cmath>
#include <limits>

#include "deepspeed/ops/cpu/lion_kernel.h"
#include "deepspeed/ops/reference/update.h"
#include "tests/ops/update_support.h"

namespace deepspeed::ops {
namespace {

using testing::random_state;
using testing::State;

constexpr UpdateOrder kOrders[] = {UpdateOrder::kFused, UpdateOrder::kCpu};

void step(const State& s, const LionArgs& args) { lion_step(s.param, s.grad, s.states[0], args, s.copy); }

TEST(LionTest, EveryKernelMatchesTheReferenceInEveryFormatAndAlignment) {
  for (UpdateOrder order : kOrders)
    for (double decay : {0.0, 0.125}) {
      const LionArgs args{.lr = 0.0078125,
                          .beta1 = 0.9,
                          .beta2 = 0.99,
                          .weight_decay = decay,
                          .grad_scale = 0.25,
                          .order = order};
      const cpu::LionConstants constants{order == UpdateOrder::kFused,
                                         0.25f,
                                         0.9f,
                                         1 - 0.9f,
                                         0.99f,
                                         1 - 0.99f,
                                         static_cast<float>(1 - 0.0078125 * decay),
                                         0.0078125f};
      testing::check_every_path(
          1, {0.1, 0.5},
          [&](base::Isa isa, const cpu::UpdateBuffers& b, int64_t count) {
            cpu::lion_kernel(isa)(b, 0, count, constants);
          },
          [&](const State& s) { reference::lion_step(s.param, s.grad, s.states[0], args, s.copy); });
    }
}

TEST(LionTest, ZeroAndNaNMoveAsDeepSpeedsKernelsMoveThem) {
  const double nan = std::numeric_limits<double>::quiet_NaN(), inf = std::numeric_limits<double>::infinity();
  // Twice 20, so that vectors and their rest see each of them.
  const at::Tensor grads = at::tensor({0.0, -0.0, 1.0, -1.0, inf, -inf, nan}, at::kFloat).repeat({6});
  for (UpdateOrder order : kOrders) {
    const bool cpu = order == UpdateOrder::kCpu;
    const State s{at::zeros({42}), grads, {at::full({42}, -0.0f)}, {}};
    step(s, {.lr = 0.5, .order = order});
    for (int64_t i = 0; i < 42; ++i) {
      const auto p = s.param[i].item<double>();
      switch (i % 7) {
        case 0:  // -0 * beta1 + 0 is +0
          EXPECT_EQ(p, cpu ? -0.5 : 0.5) << i;
          break;
        case 1:
        case 3:
        case 5:
          EXPECT_EQ(p, 0.5) << i;
          break;
        case 2:
        case 4:
          EXPECT_EQ(p, -0.5) << i;
          break;
        default:
          EXPECT_EQ(p, cpu ? -0.5 : 0.5) << i;
          EXPECT_TRUE(std::isnan(s.states[0][i].item<double>())) << i;
      }
    }
  }
}

TEST(LionTest, AnElementsResultDependsOnNeitherPositionNorThreads) {
  for (UpdateOrder order : kOrders)
    testing::check_position_and_threads(
        1, {.grad = at::kBFloat16, .state = at::kBFloat16, .copy = at::kBFloat16},
        [&](const State& s) { step(s, {.weight_decay = 0.01, .grad_scale = 0.3, .order = order}); });
}

TEST(LionTest, ALongCopyHasTheSameBits) {
  testing::check_streamed_copy(1, [](const State& s) { step(s, {}); });
}

TEST(LionTest, WhatDoesNotFitIsNamed) {
  State s = random_state(8, 1);
  s.states[0] = at::zeros({9});
  EXPECT_THAT(testing::message_of([&] { step(s, {}); }),
              ::testing::HasSubstr("lion_step: exp_avg has 9 elements, param has 8"));
}

}  // namespace
}  // namespace deepspeed::ops
