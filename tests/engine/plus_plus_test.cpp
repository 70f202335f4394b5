// ZeRO++ and MiCS against plain stage 3.
#include <unistd.h>

#include <filesystem>

#include "deepspeed/base/error.h"
#include "deepspeed/base/file.h"
#include "deepspeed/comm/traffic.h"
#include "deepspeed/engine/parse_config.h"
#include "tests/engine/tiny.h"

namespace deepspeed::engine {
namespace {

std::string config(const std::string& keys, const std::string& more = "", double clipping = 0.5) {
  return fmt::format(R"({{"train_micro_batch_size_per_gpu": 2, "gradient_clipping": {},
    "optimizer": {{"type": "AdamW", "params": {{"lr": 1e-2}}}},
    "zero_optimization": {{"stage": 3, "stage3_param_persistence_threshold": 0, "reduce_bucket_size": 5000,
                           "stage3_max_reuse_distance": 0{}}}{}}})",
                     clipping, keys, more);
}

constexpr const char* kHpz = R"(, "zero_hpz_partition_size": 2)";
constexpr const char* kAll =
    R"(, "zero_hpz_partition_size": 2, "zero_quantized_weights": true, "zero_quantized_gradients": true)";
constexpr const char* kMics = R"(, "mics_shard_size": 2)";
constexpr const char* kBf16 = R"(, "bf16": {"enabled": true})";

struct Outcome {
  std::vector<at::Tensor> weights;
  std::vector<double> losses;
  int64_t leaving = 0;  // bytes that rank 0 hands to other hosts, two ranks being one
};

Outcome train(int world, const std::string& text, int steps = 5) {
  Outcome outcome;
  comm::run_ranks(world, [&](comm::GroupPtr group) {
    comm::Traffic traffic;
    group->set_observer(traffic.observer());
    {
      TinyRun run(group, text);
      traffic.clear();
      const auto losses = run.steps(steps);
      const int64_t leaving = traffic.sent([&](const comm::Traffic::Flow& flow) {
        return flow.to / 2 != group->rank() / 2 && !flow.group.ends_with("/agreement");
      });
      const auto weights = run.weights();
      if (group->rank() == 0) outcome = {weights, losses, leaving};
    }
    group->set_observer(nullptr);
  });
  return outcome;
}

double largest_difference(const Outcome& a, const Outcome& b) {
  double largest = 0;
  for (size_t i = 0; i < a.losses.size(); ++i)
    largest = std::max(largest, std::abs(a.losses[i] / b.losses[i] - 1));
  return largest;
}

TEST(PlusPlus, ASecondPartitionChangesNoBitAndHalvesWhatLeavesTheHostForParameters) {
  for (const char* more : {"", kBf16}) {
    const Outcome plain = train(4, config("", more)), hpz = train(4, config(kHpz, more));
    EXPECT_TRUE(same_bits(plain.weights, hpz.weights));
    EXPECT_EQ(plain.losses, hpz.losses);
    EXPECT_LT(hpz.leaving, plain.leaving * 0.7);
  }
}

TEST(PlusPlus, AccumulationAndEvaluationSeeTheWeightsOfTheLastStep) {
  comm::run_ranks(4, [](comm::GroupPtr group) {
    TinyRun plain(group, config("")), hpz(group, config(kHpz));
    const at::Tensor ids = at::arange(16, at::kLong).view({1, 16}) * 5 % 61;
    for (int step = 0; step < 4; ++step) {
      EXPECT_EQ(plain.micro_step(), hpz.micro_step());
      at::NoGradGuard no_grad;
      const auto evaluate = [&](TinyRun& run) {
        return run.engine().forward([&] { return run.model->forward(ids, ids); }).item<double>();
      };
      EXPECT_EQ(evaluate(plain), evaluate(hpz)) << "after step " << step;
    }
  });
}

TEST(PlusPlus, EightBitWeightsTrainNearlyAlike) {
  const Outcome plain = train(2, config("", kBf16), 10);
  const Outcome coded = train(2, config(R"(, "zero_quantized_weights": true)", kBf16), 10);
  EXPECT_FALSE(same_bits(plain.weights, coded.weights));
  EXPECT_LT(largest_difference(coded, plain), 0.02);
}

TEST(PlusPlus, AllOfItSendsOffTheHostAtMostAQuarter) {
  const Outcome plain = train(4, config("", kBf16)), all = train(4, config(kAll, kBf16));
  EXPECT_GE(static_cast<double>(plain.leaving) / static_cast<double>(all.leaving), 4);
  EXPECT_LT(all.losses.back(), all.losses.front());
}

TEST(PlusPlus, AnOverflowIsSkippedOnEveryRank) {
  comm::run_ranks(4, [](comm::GroupPtr group) {
    TinyRun run(group,
                config(kAll, R"(, "fp16": {"enabled": true, "initial_scale_power": 20, "hysteresis": 1})"));
    run.steps(16);
    EXPECT_GT(run.engine().skipped_steps(), 0);
    EXPECT_LT(run.engine().skipped_steps(), 16);
    for (const auto& weight : run.weights()) EXPECT_TRUE(weight.isfinite().all().item<bool>());
  });
}

TEST(PlusPlus, FrozenParametersAreGatheredToo) {
  for (const char* keys : {kAll, kMics, R"(, "zero_quantized_nontrainable_weights": true)"})
    comm::run_ranks(4, [&](comm::GroupPtr group) {
      TinyRun run(group, config(keys), tiny_spec(), false, [](models::Decoder& model) {
        bool first = true;
        for (auto& p : model.parameters()) p.set_requires_grad(!std::exchange(first, false));
      });
      const auto losses = run.steps(8);
      EXPECT_LT(losses.back(), losses.front());
    });
}

// What is frozen is rounded to 8 bits once; saved and loaded it stays what it is.
TEST(PlusPlus, FrozenParametersInEightBitsSurviveACheckpoint) {
  const auto folder = std::filesystem::temp_directory_path() / fmt::format("ds_frozen_{}", ::getpid());
  const auto freeze = [](models::Decoder& model) {
    for (auto& p : model.parameters()) p.set_requires_grad(p.dim() == 1);
  };
  const std::string text = config(R"(, "zero_quantized_nontrainable_weights": true)");
  comm::run_ranks(2, [&](comm::GroupPtr group) {
    TinyRun run(group, text, tiny_spec(), false, freeze),
        plain(group, config(""), tiny_spec(), false, freeze);
    const auto before = run.weights(), exact = plain.weights();
    EXPECT_FALSE(same_bits(before, exact));
    run.steps(2);
    run.engine().save_checkpoint(folder);
    TinyRun other(group, text, tiny_spec(), false, [&](models::Decoder& model) {
      freeze(model);
      at::NoGradGuard no_grad;
      for (auto& p : model.parameters()) p.zero_();
    });
    ASSERT_TRUE(other.engine().load_checkpoint(folder));
    const auto after = run.weights(), loaded = other.weights();
    for (size_t i = 0; i < after.size(); ++i) EXPECT_TRUE(at::allclose(after[i], loaded[i], 1e-6, 1e-7)) << i;
  });
  std::filesystem::remove_all(folder);
}

TEST(Mics, EqualsStageThreeButForTheOrderOfSums) {
  for (const char* more : {"", kBf16}) {
    const Outcome plain = train(4, config("", more), 8), mics = train(4, config(kMics, more), 8);
    EXPECT_LT(largest_difference(mics, plain), *more != 0 ? 1e-2 : 1e-5);
    // What crosses hosts is the sum of each shard among replicas.
    EXPECT_LT(mics.leaving, plain.leaving / 3);
  }
}

TEST(Mics, OfAllRanksIsStageThree) {
  const Outcome plain = train(2, config("")), mics = train(2, config(kMics));
  EXPECT_TRUE(same_bits(plain.weights, mics.weights));
  EXPECT_EQ(plain.losses, mics.losses);
}

TEST(Mics, AllReplicasKeepTheSameWeights) {
  comm::run_ranks(4, [](comm::GroupPtr group) {
    TinyRun run(group, config(std::string(kMics) + R"(, "zero_quantized_weights": true)", kBf16));
    run.steps(5);
    for (const auto& weight : run.weights()) {
      at::Tensor first = weight.clone();
      group->broadcast(first, 0);
      EXPECT_TRUE(at::equal(first, weight));
    }
  });
}

TEST(Mics, CheckpointsContinueOnPlainStageThreeAndBack) {
  const auto folder = std::filesystem::temp_directory_path() / fmt::format("ds_mics_{}", ::getpid());
  const std::string with = config(kMics, "", 0), without = config("", "", 0);
  std::vector<double> straight;
  comm::run_ranks(4, [&](comm::GroupPtr group) {
    TinyRun run(group, with);
    run.steps(3);
    run.engine().save_checkpoint(folder);
    const auto losses = run.steps(3);
    if (group->rank() == 0) straight = losses;
  });
  for (const auto& [world, text] : {std::pair{4, with}, {4, without}})
    comm::run_ranks(world, [&, &config = text](comm::GroupPtr group) {
      TinyRun run(group, config);
      run.steps(3);  // the loader's position; the weights are replaced
      ASSERT_TRUE(run.engine().load_checkpoint(folder));
      const auto losses = run.steps(3);
      if (group->rank() != 0) return;
      for (size_t s = 0; s < losses.size(); ++s) EXPECT_NEAR(losses[s] / straight[s], 1, 1e-5) << config;
    });
  std::filesystem::remove_all(folder);
}

constexpr const char* kLoco = R"(, "zeropp_loco_param": {"err_beta": 0.6, "reset_T": 5})";

// What steps 4 to 6 give after a checkpoint of step 3 was loaded: losses, then a sum of the weights.
std::vector<double> resumed(int world, const std::string& text, const std::filesystem::path& folder) {
  std::vector<double> seen;
  comm::run_ranks(world, [&](comm::GroupPtr group) {
    TinyRun run(group, text);
    run.steps(2);  // errors of its own, which must not stay
    ASSERT_TRUE(run.engine().load_checkpoint(folder));
    run.ready.loader->seek_samples(run.engine().global_samples());
    auto losses = run.steps(3);
    for (const auto& weight : run.weights()) losses.push_back(weight.sum().item<double>());
    if (group->rank() == 0) seen = losses;
  });
  return seen;
}

TEST(PlusPlus, LocoContinuesFromACheckpointBitForBitOnTheSameRanksAlone) {
  namespace fs = std::filesystem;
  const auto folder = fs::temp_directory_path() / fmt::format("ds_loco_{}", ::getpid());
  for (const auto& [zero, more] : std::vector<std::pair<std::string, std::string>>{
           {kAll, ""}, {R"(, "zero_quantized_gradients": true)", kBf16}}) {
    SCOPED_TRACE(zero + more);
    const std::string text = config(zero + kLoco, more);
    std::vector<double> straight;
    comm::run_ranks(4, [&](comm::GroupPtr group) {
      TinyRun run(group, text);
      run.steps(3);
      run.engine().save_checkpoint(folder);
      auto losses = run.steps(3);
      for (const auto& weight : run.weights()) losses.push_back(weight.sum().item<double>());
      if (group->rank() == 0) straight = losses;
    });
    EXPECT_EQ(resumed(4, text, folder), straight);
    // Other ranks, other hosts, other buckets, and a checkpoint without errors: from zero, with a word.
    const std::string other_hosts = zero == kAll ? R"(, "zero_quantized_gradients": true)" : kAll;
    for (const auto& [world, other] :
         std::vector<std::pair<int, std::string>>{{2, text}, {4, config(other_hosts + kLoco, more)}}) {
      testing::internal::CaptureStderr();
      const auto others = resumed(world, other, folder);
      const std::string said = testing::internal::GetCapturedStderr();
      EXPECT_NE(
          said.find("was saved with other ranks or other gradient buckets: LoCo's errors start from zero"),
          std::string::npos)
          << said;
      EXPECT_EQ(others.size(), straight.size());
    }
    const fs::path state = folder / "global_step3" / "state.json";
    std::string document = base::read_text_file(state);
    document.replace(document.find("reduction_memory"), 16, "forgotten_memory");
    base::write_text_file(state, document);
    testing::internal::CaptureStderr();
    EXPECT_NE(resumed(4, text, folder), straight);
    const std::string said = testing::internal::GetCapturedStderr();
    EXPECT_NE(said.find("holds no errors of quantized gradients"), std::string::npos) << said;
    // Without LoCo nobody asks.
    testing::internal::CaptureStderr();
    resumed(4, config(zero, more), folder);
    EXPECT_EQ(testing::internal::GetCapturedStderr().find("LoCo"), std::string::npos);
  }
  fs::remove_all(folder);
}

TEST(PlusPlus, SizesThatDoNotDivideTheRanksAreAnErrorThatNamesTheKey) {
  for (const char* key : {"zero_hpz_partition_size", "mics_shard_size"}) {
    std::string message;
    try {
      comm::run_ranks(
          4, [&](comm::GroupPtr group) { TinyRun run(group, config(fmt::format(R"(, "{}": 3)", key))); });
    } catch (const base::Error& error) {
      message = error.what();
    }
    EXPECT_NE(message.find(key), std::string::npos) << message;
  }
}

}  // namespace
}  // namespace deepspeed::engine
