// 16-bit training: masters and moments in bf16, inputs cast for fp16, the loss scale's rules.
#include <gmock/gmock.h>

#include <filesystem>

#include "deepspeed/base/error.h"
#include "deepspeed/engine/parse_config.h"
#include "tiny.h"

namespace deepspeed::engine {
namespace {

std::string bf16_config(int stage, bool masters, int accumulation = 2) {
  return fmt::format(R"({{"train_micro_batch_size_per_gpu": 2, "gradient_accumulation_steps": {},
    "optimizer": {{"type": "AdamW", "params": {{"lr": 0.01, "weight_decay": 0.01}}}},
    "zero_optimization": {{"stage": {}}},
    "bf16": {{"enabled": true, "bf16_master_weights_and_grads": {}, "bf16_optimizer_states": {}}}}})",
                     accumulation, stage, masters, masters);
}

struct Trained {
  std::vector<double> losses;
  std::vector<at::Tensor> weights;
};

Trained train(const std::string& config, int ranks, int steps, const std::string& folder = "",
              int save_at = 0) {
  Trained out;
  comm::run_ranks(ranks, [&](comm::GroupPtr group) {
    TinyRun run(group, config);
    if (!folder.empty() && save_at == 0) {
      run.engine().load_checkpoint(folder);
      run.ready.loader->seek_samples(run.engine().global_samples());
    }
    auto losses = run.steps(save_at > 0 ? save_at : steps);
    if (save_at > 0) {
      run.engine().save_checkpoint(folder);
      const auto rest = run.steps(steps - save_at);
      losses.insert(losses.end(), rest.begin(), rest.end());
    }
    if (group->rank() == 0) out = {losses, run.weights()};
  });
  return out;
}

TEST(Bf16Masters, KeepNothingInFp32AndStillLearn) {
  comm::run_ranks(2, [](comm::GroupPtr group) {
    TinyRun run(group, bf16_config(2, true));
    const auto losses = run.steps(15);
    EXPECT_LT(losses.back(), losses.front() * 0.8);
    for (size_t i = 0; i < run.engine().optimizer().groups()[0].pieces.size(); ++i) {
      const auto& piece = run.engine().optimizer().groups()[0].pieces[i];
      EXPECT_EQ(piece.param.scalar_type(), at::kBFloat16);
      EXPECT_EQ(piece.grad.scalar_type(), at::kBFloat16);
      EXPECT_FALSE(piece.low_precision_copy.defined());
      for (const auto& [name, state] : run.engine().optimizer().piece_state(0, i))
        EXPECT_EQ(state.scalar_type(), at::kBFloat16) << name;
    }
  });
}

TEST(Bf16Masters, AreTheSameAtStages1And2AndNotThoseOfFp32) {
  // Over one micro-batch: sums over several are rounded to bf16 before or after their reduction.
  const auto one = train(bf16_config(1, true, 1), 2, 6), two = train(bf16_config(2, true, 1), 2, 6);
  EXPECT_EQ(one.losses, two.losses);
  EXPECT_TRUE(same_bits(one.weights, two.weights));
  EXPECT_NE(train(bf16_config(2, false, 1), 2, 6).losses, two.losses);
}

TEST(Bf16Masters, ResumeBitForBitAndOnAnotherNumberOfRanks) {
  const std::string folder = fmt::format("/tmp/ds_bf16_masters_{}", ::getpid());
  const auto whole = train(bf16_config(2, true), 2, 8, folder, 5);
  const auto rest = train(bf16_config(2, true), 2, 3, folder);
  EXPECT_TRUE(std::equal(rest.losses.begin(), rest.losses.end(), whole.losses.end() - 6));
  EXPECT_TRUE(same_bits(rest.weights, whole.weights));
  EXPECT_NEAR(train(bf16_config(1, false), 1, 3, folder).losses[0], whole.losses[10],
              0.2);  // fp32 masters anew
  std::filesystem::remove_all(folder);
}

TEST(Bf16Masters, NeedWhatDeepSpeedNeeds) {
  const auto error = [](const std::string& rest) -> std::string {
    try {
      parse_config(R"({"train_batch_size": 2, )" + rest + "}", 2);
    } catch (const base::Error& e) {
      return e.what();
    }
    return "none";
  };
  using testing::HasSubstr;
  const std::string on = R"("bf16": {"enabled": true, "bf16_master_weights_and_grads": true, )";
  EXPECT_EQ(error(on + R"("bf16_optimizer_states": true}, "zero_optimization": {"stage": 1})"), "none");
  EXPECT_THAT(error(on + R"("bf16_optimizer_states": true})"),
              HasSubstr("needs zero_optimization.stage 1, 2 or 3"));
  EXPECT_THAT(error(on + R"("bf16_optimizer_states": false}, "zero_optimization": {"stage": 1})"),
              HasSubstr("needs bf16.bf16_optimizer_states or zero_optimization.offload_optimizer"));
  EXPECT_THAT(
      error(R"("bf16": {"enabled": true, "bf16_optimizer_states": true}, "zero_optimization": {"stage": 1})"),
      HasSubstr("needs bf16.bf16_master_weights_and_grads"));
  // Without bf16 the key is idle, as in DeepSpeed.
  EXPECT_EQ(error(R"("bf16": {"bf16_master_weights_and_grads": true}, "zero_optimization": {"stage": 1})"),
            "none");
}

TEST(Fp16, CastsTheForwardsInputsWhereAutoCastSaysSo) {
  for (bool on : {false, true})
    comm::run_ranks(1, [&](comm::GroupPtr group) {
      TinyRun run(group, fmt::format(R"({{"train_batch_size": 2, "optimizer": {{"type": "Adam"}},
        "fp16": {{"enabled": true, "auto_cast": {}}}}})",
                                     on));
      run.engine().forward(
          [&](const at::Tensor& x, const std::vector<at::Tensor>& more) {
            EXPECT_EQ(x.scalar_type(), on ? at::kHalf : at::kFloat);
            EXPECT_EQ(more[0].scalar_type(), at::kLong);
            EXPECT_EQ(more[1].scalar_type(), on ? at::kHalf : at::kDouble);
          },
          at::ones({2}), std::vector<at::Tensor>{at::ones({2}, at::kLong), at::ones({2}, at::kDouble)});
    });
}

}  // namespace
}  // namespace deepspeed::engine
