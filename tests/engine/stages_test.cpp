// Stage k equals stage 0.
#include "tests/engine/tiny.h"

namespace deepspeed::engine {
namespace {

std::string config(int stage, int accumulation, double clipping, const std::string& more = "",
                   double eps = 1e-8) {
  return fmt::format(
      R"({{"train_micro_batch_size_per_gpu": 2, "gradient_accumulation_steps": {}, "gradient_clipping": {},
    "optimizer": {{"type": "AdamW", "params": {{"lr": 1e-2, "weight_decay": 0.1, "eps": {}}}}},
    "zero_optimization": {{"stage": {}, "reduce_bucket_size": 3000,
                           "stage3_param_persistence_threshold": 30}}{}}})",
      accumulation, clipping, eps, stage, more);
}

struct Outcome {
  std::vector<at::Tensor> weights;
  std::vector<double> losses, norms;
};

Outcome train(int world, const std::string& text, const std::string& arch = "gpt2", int steps = 6) {
  Outcome outcome;
  comm::run_ranks(world, [&](comm::GroupPtr group) {
    TinyRun run(group, text, tiny_spec(arch));
    std::vector<double> norms;
    std::vector<double> losses;
    for (int s = 0; s < steps; ++s) {
      for (double loss : run.steps(1)) losses.push_back(loss);
      norms.push_back(run.engine().get_global_grad_norm().value_or(-1));
    }
    const auto weights = run.weights();
    if (group->rank() == 0) outcome = {weights, losses, norms};
  });
  return outcome;
}

TEST(Stages, OneAndTwoEqualZeroBitForBitOnTwoRanksInFp32) {
  for (double clipping : {0.0, 0.05})
    for (const char* arch : {"gpt2", "llama"}) {
      const Outcome zero = train(2, config(0, 1, clipping), arch);
      EXPECT_LT(zero.losses.back(), zero.losses.front());
      for (int stage : {1, 2}) {
        const Outcome other = train(2, config(stage, 1, clipping), arch);
        EXPECT_TRUE(same_bits(zero.weights, other.weights))
            << arch << " stage " << stage << " clipping " << clipping;
        EXPECT_EQ(zero.losses, other.losses);
        EXPECT_EQ(zero.norms, other.norms);
      }
    }
}

// The norm of a gradient that is cut otherwise is summed in another order: clipping then differs in the last
// bit.
TEST(Stages, ThreeEqualsZeroBitForBitWithoutClipping) {
  for (const char* arch : {"gpt2", "llama"}) {
    const Outcome zero = train(2, config(0, 1, 0), arch), three = train(2, config(3, 1, 0), arch);
    EXPECT_TRUE(same_bits(zero.weights, three.weights)) << arch;
    EXPECT_EQ(zero.losses, three.losses);
    for (size_t i = 0; i < zero.norms.size(); ++i) EXPECT_NEAR(three.norms[i] / zero.norms[i], 1, 1e-9);
  }
}

TEST(Stages, ThreeDoesNotDependOnWhenParametersAreGathered) {
  const auto with = [](const std::string& keys) {
    return R"({"train_micro_batch_size_per_gpu": 2, "gradient_accumulation_steps": 2, "gradient_clipping": 0.5,
      "optimizer": {"type": "AdamW", "params": {"lr": 1e-2}},
      "zero_optimization": {"stage": 3, "stage3_param_persistence_threshold": 0)" +
           keys + "}}";
  };
  const Outcome usual = train(3, with(""));
  for (const char* keys :
       {R"(, "stage3_max_reuse_distance": 0, "stage3_prefetch_bucket_size": 0)",
        R"(, "stage3_max_live_parameters": 2000, "stage3_prefetch_bucket_size": 600)",
        R"(, "stage3_allgather_sequential": true)", R"(, "reduce_scatter": false, "overlap_comm": false)",
        R"(, "stage3_module_granularity_threshold": 5000)",
        R"(, "leaf_module": {"classes": ["TransformerLayer"]})",
        R"(, "stage3_param_persistence_threshold": 100000)"}) {
    std::string text = with(keys);
    if (const size_t at = text.find(R"("stage3_param_persistence_threshold": 0, "stage3_param)");
        at != std::string::npos)
      text.erase(at, std::string(R"("stage3_param_persistence_threshold": 0, )").size());
    const Outcome other = train(3, text);
    EXPECT_EQ(usual.losses, other.losses) << keys;
    EXPECT_TRUE(same_bits(usual.weights, other.weights)) << keys;
  }
}

// With a small eps Adam makes a step of full size of a gradient that is rounding noise around zero (key
// biases).
TEST(Stages, EqualZeroClosely_OnOtherWorldsAndWithAccumulation) {
  for (int world : {1, 2, 3})
    for (int accumulation : {1, 3}) {
      const Outcome zero = train(world, config(0, accumulation, 1.0, "", 1e-2), "gpt2", 4);
      for (int stage : {1, 2, 3}) {
        const Outcome other = train(world, config(stage, accumulation, 1.0, "", 1e-2), "gpt2", 4);
        for (size_t i = 0; i < zero.losses.size(); ++i)
          EXPECT_NEAR(other.losses[i] / zero.losses[i], 1, 1e-6);
        for (size_t i = 0; i < zero.norms.size(); ++i) EXPECT_NEAR(other.norms[i] / zero.norms[i], 1, 1e-6);
        for (size_t i = 0; i < zero.weights.size(); ++i)
          EXPECT_LT((other.weights[i] - zero.weights[i]).norm().item<double>(),
                    1e-6 * zero.weights[i].norm().item<double>() + 1e-7)
              << "parameter " << i << ", world " << world << ", accumulation " << accumulation << ", stage "
              << stage;
      }
    }
}

TEST(Stages, OneAndTwoEqualEachOtherInBf16AndZeroCountsOneStepMore) {
  const std::string bf16 = R"(, "bf16": {"enabled": true})";
  const Outcome zero = train(2, config(0, 1, 1.0, bf16)), one = train(2, config(1, 1, 1.0, bf16)),
                two = train(2, config(2, 1, 1.0, bf16)), three = train(2, config(3, 1, 0, bf16));
  EXPECT_EQ(one.losses, two.losses);
  EXPECT_EQ(train(2, config(1, 1, 0, bf16)).losses, three.losses);
  EXPECT_EQ(zero.losses[0], one.losses[0]);
  EXPECT_NE(zero.losses, one.losses);  // as in DeepSpeed: Engine::take_first_step
  const std::string fp32_sums = R"(, "bf16": {"enabled": true}, "data_types": {"grad_accum_dtype": "fp32"})";
  EXPECT_NE(train(2, config(2, 3, 1.0, fp32_sums)).losses, train(2, config(2, 3, 1.0, bf16)).losses);
}

TEST(Stages, AccumulatingGivesWhatOneLargeBatchGives) {
  const std::string large =
      R"({"train_micro_batch_size_per_gpu": 6, "optimizer": {"type": "Adam", "params": {"lr": 1e-3}}})";
  const std::string small =
      R"({"train_micro_batch_size_per_gpu": 2, "gradient_accumulation_steps": 3, "optimizer": {"type": "Adam", "params": {"lr": 1e-3}}})";
  // Weights are not compared: parameters whose gradient is exactly zero (key biases) get the sign of rounding
  // noise.
  const Outcome many = train(1, small, "gpt2", 2), one = train(1, large, "gpt2", 2);
  for (size_t step = 0; step < 2; ++step) {
    const double mean = (many.losses[3 * step] + many.losses[3 * step + 1] + many.losses[3 * step + 2]) / 3;
    EXPECT_NEAR(mean / one.losses[step], 1, 1e-5);
    EXPECT_NEAR(many.norms[step] / one.norms[step], 1, 1e-4);
  }
}

TEST(Stages, MoreRanksThanElementsOfAParameterTrain) {
  const Outcome zero = train(5, config(0, 1, 1.0), "gpt2", 2);
  for (int stage : {2, 3}) {
    const Outcome other = train(5, config(stage, 1, 1.0), "gpt2", 2);
    for (size_t i = 0; i < zero.losses.size(); ++i) EXPECT_NEAR(other.losses[i] / zero.losses[i], 1, 1e-6);
  }
}

}  // namespace
}  // namespace deepspeed::engine
