// Who says where a window of gradient accumulation ends, and who reduces then.
#include "deepspeed/base/error.h"
#include "tests/engine/tiny.h"

namespace deepspeed::engine {
namespace {

std::string config(int stage, int accumulation, const std::string& more = "") {
  return fmt::format(R"({{"train_micro_batch_size_per_gpu": 1, "gradient_accumulation_steps": {},
    "optimizer": {{"type": "Adam", "params": {{"lr": 0.01}}}}, "zero_optimization": {{"stage": {}}}{}}})",
                     accumulation, stage, more);
}

void backward(TinyRun& run) {
  const at::Tensor ids = run.ready.loader->next()[0];
  run.engine().backward(run.engine().forward([&] { return run.model->forward(ids, ids); }));
}

void expect_same_weights(TinyRun& a, TinyRun& b, bool same = true) {
  bool equal = true;
  const auto x = a.weights(), y = b.weights();
  for (size_t i = 0; i < x.size(); ++i) equal = equal && at::equal(x[i], y[i]);
  EXPECT_EQ(equal, same);
}

TEST(Accumulation, WithoutSyncGradientsWaitForTheNextBackwardOutside) {
  for (int stage : {0, 1})
    comm::run_ranks(2, [&](comm::GroupPtr group) {
      TinyRun counted(group, config(stage, 2)), by_hand(group, config(stage, 2));
      for (int window = 0; window < 2; ++window) {
        counted.steps(1);
        {
          const auto local = by_hand.engine().no_sync();
          backward(by_hand);
        }
        by_hand.engine().set_gradient_accumulation_boundary(true);
        backward(by_hand);
        by_hand.engine().step();
      }
      expect_same_weights(counted, by_hand);
    });
}

TEST(Accumulation, StepReducesWhatNoBackwardReduced) {
  for (int stage : {0, 1})
    comm::run_ranks(2, [&](comm::GroupPtr group) {
      TinyRun counted(group, config(stage, 1)), by_hand(group, config(stage, 1));
      counted.steps(1);
      {
        const auto local = by_hand.engine().no_sync();
        backward(by_hand);
        EXPECT_THROW(by_hand.engine().step(), base::Error);
        EXPECT_THROW((void)by_hand.engine().no_sync(), base::Error);
      }
      by_hand.engine().step();
      expect_same_weights(counted, by_hand);
    });
}

// The head's gradient is computed in forward, where it is collected: a later forward must not cost an earlier
// one its own.
TEST(Accumulation, ForwardsMayComeBeforeTheBackwardsOfOthers) {
  for (int stage : {0, 1, 2, 3})
    comm::run_ranks(2, [&](comm::GroupPtr group) {
      TinyRun in_turn(group, config(stage, 2)), together(group, config(stage, 2));
      for (int window = 0; window < 2; ++window) {
        in_turn.steps(1);
        std::vector<at::Tensor> losses;
        for (int i = 0; i < 2; ++i) {
          const at::Tensor ids = together.ready.loader->next()[0];
          losses.push_back(together.engine().forward([&] { return together.model->forward(ids, ids); }));
        }
        for (const size_t i : {1, 0}) {
          together.engine().backward(losses[i]);
          together.engine().step();
        }
      }
      expect_same_weights(in_turn, together);
    });
}

TEST(Accumulation, UnmanagedEveryStepUpdatesAndSamplesAreCounted) {
  for (int stage : {0, 1, 2})
    comm::run_ranks(2, [&](comm::GroupPtr group) {
      TinyRun counted(group, config(stage, 3));
      TinyRun unmanaged(group, config(stage, 3, R"(, "managed_gradient_accumulation": false)"));
      counted.steps(2);
      for (int window = 0; window < 2; ++window) {
        for (int micro = 0; micro < 3; ++micro) {
          backward(unmanaged);
          EXPECT_FALSE(unmanaged.engine().is_gradient_accumulation_boundary());
        }
        unmanaged.engine().step();
      }
      expect_same_weights(counted, unmanaged);
      EXPECT_EQ(unmanaged.engine().global_steps(), 2);
      EXPECT_EQ(unmanaged.engine().global_samples(), 12);
      backward(unmanaged);
      unmanaged.engine().step();
      EXPECT_EQ(unmanaged.engine().global_samples(), 14);
      EXPECT_THROW(unmanaged.engine().set_gradient_accumulation_boundary(true), base::Error);
    });
}

TEST(Accumulation, EveryForwardOfAnUnmanagedWindowDropsOtherUnits) {
  comm::run_ranks(1, [&](comm::GroupPtr group) {
    TinyRun run(group, config(0, 1, R"(, "managed_gradient_accumulation": false)"), tiny_spec("gpt2", 0.5));
    const at::Tensor ids = run.ready.loader->next()[0];
    auto loss = [&] {
      return run.engine().forward([&] { return run.model->forward(ids, ids); }).item<double>();
    };
    EXPECT_NE(loss(), loss());
    run.engine().eval();
    EXPECT_EQ(loss(), loss());
  });
}

TEST(Accumulation, FollowsAChangedBatchSize) {
  comm::run_ranks(2, [&](comm::GroupPtr group) {
    TinyRun run(group, config(2, 1));
    run.engine().set_train_batch_size(6);
    EXPECT_EQ(run.engine().gradient_accumulation_steps(), 3);
    EXPECT_EQ(run.steps(1).size(), 3u);
    EXPECT_EQ(run.engine().global_steps(), 1);
    EXPECT_EQ(run.engine().global_samples(), 6);
    EXPECT_THROW(run.engine().set_train_batch_size(5), base::Error);
    EXPECT_THROW(run.engine().set_train_batch_size(0), base::Error);
    run.engine().set_train_micro_batch_size(4);
    EXPECT_EQ(run.engine().train_batch_size(), 24);
  });
}

TEST(Accumulation, KeepsWholeGradientsOnlyBelowStageTwo) {
  comm::run_ranks(2, [&](comm::GroupPtr group) {
    TinyRun run(group, config(2, 1));
    EXPECT_THROW((void)run.engine().no_sync(), base::Error);
  });
}

TEST(Accumulation, BackwardMayKeepTheGraphAndLeaveTheLossUndivided) {
  comm::run_ranks(1, [&](comm::GroupPtr group) {
    TinyRun run(group, config(0, 2));
    const at::Tensor ids = run.ready.loader->next()[0];
    const at::Tensor loss = run.engine().forward([&] { return run.model->forward(ids, ids); });
    EXPECT_EQ(run.engine().backward(loss, {.retain_graph = true}).item<double>(), loss.item<double>() / 2);
    run.engine().step();
    EXPECT_EQ(run.engine().backward(loss, {.scale_wrt_gas = false}).item<double>(), loss.item<double>());
    run.engine().step();
    EXPECT_TRUE(run.engine().was_step_applied());
  });
}

TEST(Accumulation, ScalesALossForACallersOwnBackward) {
  comm::run_ranks(1, [&](comm::GroupPtr group) {
    TinyRun run(group, config(0, 1, R"(, "fp16": {"enabled": true, "loss_scale": 8})"));
    EXPECT_EQ(run.engine().scale(at::ones({})).item<double>(), 8);
    EXPECT_THROW(run.engine().scale(at::ones({2})), base::Error);
  });
}

}  // namespace
}  // namespace deepspeed::engine
