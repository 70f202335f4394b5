// Resuming equals never having stopped.
#include <unistd.h>

#include <cstring>
#include <filesystem>

#include "deepspeed/base/error.h"
#include "deepspeed/base/file.h"
#include "deepspeed/formats/safetensors.h"
#include "tests/engine/tiny.h"

namespace deepspeed::engine {
namespace {
namespace fs = std::filesystem;

class Resume : public testing::Test {
 protected:
  void SetUp() override {
    folder = fs::temp_directory_path() / ("ds_resume_" + std::to_string(::getpid()));
    fs::remove_all(folder);
  }
  void TearDown() override { fs::remove_all(folder); }
  fs::path folder;
};

std::string config(int stage, const std::string& precision, int accumulation) {
  return fmt::format(R"({{"train_micro_batch_size_per_gpu": 2, "gradient_accumulation_steps": {},
    "optimizer": {{"type": "AdamW", "params": {{"lr": 1e-2}}}},
    "scheduler": {{"type": "WarmupDecayLR", "params": {{"total_num_steps": 30, "warmup_num_steps": 8, "warmup_max_lr": 1e-2}}}},
    "zero_optimization": {{"stage": {}, "stage3_param_persistence_threshold": 30}}{}}})",
                     accumulation, stage, precision);
}

// The window of 3 makes the dynamic scale move within the run, the first steps overflow.
const char* kFp16 =
    R"(, "fp16": {"enabled": true, "initial_scale_power": 24, "loss_scale_window": 3, "hysteresis": 1})";

void expect_resume_is_exact(const fs::path& folder, int world, const std::string& text) {
  comm::run_ranks(world, [&](comm::GroupPtr group) {
    const auto spec = tiny_spec("gpt2", /*dropout=*/0.2);
    TinyRun straight(group, text, spec, /*shuffle=*/true);
    straight.steps(5);  // mid-epoch, mid-warm-up
    straight.engine().save_checkpoint(folder, {.client_state = {{"note", "kept"}}});
    const auto wanted = straight.steps(6);

    TinyRun resumed(group, text, spec, /*shuffle=*/true);
    resumed.steps(2);  // whatever was there before must not matter
    const auto loaded = resumed.engine().load_checkpoint(folder);
    ASSERT_TRUE(loaded);
    EXPECT_EQ(loaded->client_state["note"], "kept");
    resumed.ready.loader->seek_samples(resumed.engine().global_samples());
    EXPECT_EQ(resumed.engine().global_steps(), 5);
    EXPECT_EQ(resumed.steps(6), wanted);
    EXPECT_TRUE(same_bits(resumed.weights(), straight.weights()));
    EXPECT_EQ(resumed.engine().get_lr(), straight.engine().get_lr());
    EXPECT_EQ(resumed.engine().loss_scale(), straight.engine().loss_scale());
    EXPECT_EQ(resumed.engine().skipped_steps(), straight.engine().skipped_steps());
    EXPECT_EQ(resumed.engine().global_samples(), straight.engine().global_samples());
  });
}

TEST_F(Resume, IsExactWithDropoutAndShuffleAtEveryStage) {
  for (int stage : {0, 1, 2, 3}) expect_resume_is_exact(folder, 2, config(stage, "", 2));
}

TEST_F(Resume, IsExactInFp16WithADynamicScale) { expect_resume_is_exact(folder, 2, config(2, kFp16, 1)); }

TEST_F(Resume, IsExactInBf16) {
  expect_resume_is_exact(folder, 2, config(3, R"(, "bf16": {"enabled": true})", 1));
  expect_resume_is_exact(folder, 3, config(1, R"(, "bf16": {"enabled": true})", 1));
}

TEST_F(Resume, Fp16SkipsOverflowingStepsAndHalvesTheScale) {
  comm::run_ranks(2, [&](comm::GroupPtr group) {
    TinyRun run(group,
                config(2, R"(, "fp16": {"enabled": true, "initial_scale_power": 40, "hysteresis": 1})", 1));
    const auto before = run.weights();
    run.steps(1);
    EXPECT_FALSE(run.engine().was_step_applied());
    EXPECT_EQ(run.engine().skipped_steps(), 1);
    EXPECT_EQ(run.engine().loss_scale(), std::ldexp(1.0, 39));
    EXPECT_TRUE(same_bits(run.weights(), before));
    run.steps(30);
    EXPECT_TRUE(run.engine().was_step_applied());
  });
}

TEST_F(Resume, ContinuesOnAnotherNumberOfRanksAndAnotherStage) {
  for (const int from : {2, 3}) {
    std::vector<at::Tensor> saved;
    comm::run_ranks(3, [&](comm::GroupPtr group) {
      TinyRun run(group, config(from, "", 1));
      run.steps(3);
      run.engine().save_checkpoint(folder);
      const auto weights = run.weights();
      if (group->rank() == 0) saved = weights;
    });
    for (auto [world, stage] : std::vector<std::pair<int, int>>{{1, 0}, {2, 1}, {4, 2}, {2, 3}, {1, 3}})
      comm::run_ranks(world, [&, stage = stage](comm::GroupPtr group) {
        TinyRun run(group, config(stage, "", 1));
        ASSERT_TRUE(run.engine().load_checkpoint(folder));
        EXPECT_TRUE(same_bits(run.weights(), saved));
        EXPECT_EQ(run.engine().optimizer().step_count(), 3);
        run.steps(1);
      });
  }
}

TEST_F(Resume, SavesTheWholeModelInSafetensorsWhereItMayBeGathered) {
  const std::string may = R"(, "bf16": {"enabled": true})";
  comm::run_ranks(2, [&](comm::GroupPtr group) {
    TinyRun run(group, config(3, may, 1));
    EXPECT_FALSE(run.engine().save_16bit_model(folder));
  });
  EXPECT_FALSE(fs::exists(folder / "model.safetensors"));
  for (const int stage : {1, 3})
    comm::run_ranks(2, [&, stage](comm::GroupPtr group) {
      std::string text = config(stage, may, 1);
      const std::string key = R"("zero_optimization": {)";
      text.insert(text.find(key) + key.size(), R"("stage3_gather_16bit_weights_on_model_save": true, )");
      TinyRun run(group, text);
      run.steps(1);
      EXPECT_TRUE(run.engine().save_16bit_model(folder));
      const auto weights = run.weights();
      const formats::SafetensorsFile file(folder / "model.safetensors");
      size_t i = 0;
      for (const auto& p : run.model->named_parameters()) {
        const auto* info = file.find(p.key());
        ASSERT_NE(info, nullptr) << p.key();
        const auto bytes = file.data(*info);
        ASSERT_EQ(bytes.size(), weights[i].nbytes());
        EXPECT_EQ(std::memcmp(bytes.data(), weights[i++].const_data_ptr(), bytes.size()), 0) << p.key();
      }
      EXPECT_THROW(run.engine().save_16bit_model("/proc/nowhere"), base::Error);
    });
}

// A model whose token embeddings are not trained and all have one value.
struct FrozenRun : TinyRun {
  FrozenRun(const comm::GroupPtr& group, const std::string& text, double value)
      : TinyRun(group, text, tiny_spec("llama"), /*shuffle=*/false, [value](models::Decoder& model) {
          at::Tensor table = model.named_parameters()["embedding.weight"];
          table.detach().fill_(value);
          table.set_requires_grad(false);
        }) {}
};

// Frozen parameters are sharded at stage 3 and whole elsewhere: checkpoints pass between both.
TEST_F(Resume, KeepsFrozenParametersAcrossStages) {
  for (auto [from, to] : std::vector<std::pair<int, int>>{{3, 3}, {3, 1}, {0, 3}}) {
    at::Tensor saved;
    const auto make = [](const comm::GroupPtr& group, int stage, double value) {
      auto run = std::make_unique<FrozenRun>(group, config(stage, "", 1), value);
      run->steps(2);
      return run;
    };
    comm::run_ranks(2, [&, from = from](comm::GroupPtr group) {
      auto run = make(group, from, 0.25);
      run->engine().save_checkpoint(folder);
      const auto weights = run->weights();
      if (group->rank() == 0) saved = weights[0];
    });
    EXPECT_TRUE(saved.eq(0.25).all().item<bool>());
    comm::run_ranks(2, [&, to = to](comm::GroupPtr group) {
      auto run = make(group, to, -1);
      ASSERT_TRUE(run->engine().load_checkpoint(folder));
      EXPECT_TRUE(at::equal(run->weights()[0], saved)) << "to stage " << to;
      run->steps(1);
    });
  }
}

// The same samples a step, whatever number of ranks shares them.
std::string eight_samples(int world) {
  return fmt::format(R"({{"train_batch_size": 8, "train_micro_batch_size_per_gpu": 2,
    "optimizer": {{"type": "AdamW", "params": {{"lr": 1e-2}}}}, "zero_optimization": {{"stage": {}}}}})",
                     world > 1 ? 2 : 0);
}

// The mean over the ranks' losses of each step.
std::vector<double> step_losses(TinyRun& run, comm::Group& group, int steps) {
  std::vector<double> means;
  for (int s = 0; s < steps; ++s) {
    const auto losses = run.steps(1);
    at::Tensor sums = at::zeros({1}, at::kDouble);
    for (double loss : losses) sums += loss / static_cast<double>(losses.size()) / group.size();
    group.all_reduce(sums);
    means.push_back(sums.item<double>());
  }
  return means;
}

TEST_F(Resume, ContinuesWithTheSameDataOnAnotherNumberOfRanks) {
  std::vector<double> wanted;
  comm::run_ranks(4, [&](comm::GroupPtr group) {
    TinyRun run(group, eight_samples(4), tiny_spec(), /*shuffle=*/true);
    run.steps(7);  // mid-epoch
    run.engine().save_checkpoint(folder);
    const auto losses = step_losses(run, *group, 4);
    if (group->rank() == 0) wanted = losses;
  });
  for (int world : {1, 2})
    comm::run_ranks(world, [&](comm::GroupPtr group) {
      TinyRun run(group, eight_samples(world), tiny_spec(), /*shuffle=*/true);
      ASSERT_TRUE(run.engine().load_checkpoint(folder));
      run.ready.loader->seek_samples(run.engine().global_samples());
      const auto losses = step_losses(run, *group, 4);
      for (size_t s = 0; s < losses.size(); ++s)
        EXPECT_NEAR(losses[s] / wanted[s], 1, 1e-5) << world << " " << s;
    });
}

TEST_F(Resume, TakesAnFp32CheckpointIntoAnFp16Run) {
  comm::run_ranks(1, [&](comm::GroupPtr group) {
    TinyRun fp32(group, config(1, "", 1));
    fp32.steps(2);
    fp32.engine().save_checkpoint(folder);
    TinyRun fp16(group, config(1, R"(, "fp16": {"enabled": true, "initial_scale_power": 8})", 1));
    ASSERT_TRUE(fp16.engine().load_checkpoint(folder));
    EXPECT_EQ(fp16.engine().loss_scale(), 256);
    fp16.steps(1);
    EXPECT_TRUE(fp16.engine().was_step_applied());
  });
}

TEST_F(Resume, RefusesCountersThatCountNothing) {
  comm::run_ranks(1, [&](comm::GroupPtr group) {
    TinyRun run(group, config(0, "", 1));
    run.steps(1);
    run.engine().save_checkpoint(folder, {.tag = "t"});
    const auto path = folder / "t/state.json";
    const auto good = nlohmann::ordered_json::parse(base::read_text_file(path));
    for (const char* key :
         {"global_steps", "global_samples", "micro_steps", "forward_passes", "skipped_steps"})
      for (const nlohmann::json& bad : {nlohmann::json(-5), nlohmann::json(1.5), nlohmann::json("1"),
                                        nlohmann::json(uint64_t{1} << 63)}) {
        auto state = good;
        state[key] = bad;
        base::write_text_file(path, state.dump());
        EXPECT_THROW(run.engine().load_checkpoint(folder), base::Error) << key << " " << bad;
      }
  });
}

TEST_F(Resume, LoadsTheModuleAloneOrWithoutOptimizerAndSchedulerStates) {
  comm::run_ranks(2, [&](comm::GroupPtr group) {
    TinyRun run(group, config(1, R"(, "bf16": {"enabled": true})", 1));
    run.steps(4);
    run.engine().save_checkpoint(folder, {.tag = "mine"});
    const auto want = run.weights();

    TinyRun module_only(group, config(1, R"(, "bf16": {"enabled": true})", 1));
    ASSERT_TRUE(module_only.engine().load_checkpoint(folder, {.tag = "mine", .module_only = true}));
    EXPECT_TRUE(same_bits(module_only.weights(), want));
    EXPECT_EQ(module_only.engine().global_steps(), 0);
    EXPECT_EQ(module_only.engine().optimizer().step_count(), 0);

    TinyRun no_states(group, config(1, R"(, "bf16": {"enabled": true})", 1));
    ASSERT_TRUE(no_states.engine().load_checkpoint(
        folder, {.optimizer_states = false, .lr_scheduler_states = false}));
    EXPECT_TRUE(same_bits(no_states.weights(), want));
    EXPECT_EQ(no_states.engine().global_steps(), 4);
    EXPECT_EQ(no_states.engine().optimizer().step_count(), 0);
    EXPECT_EQ(no_states.engine().lr_scheduler()->state_dict().at("last_batch_iteration"), -1);
  });
}

TEST_F(Resume, AnswersWithNothingWithoutLatestAndWithErrorsForTheWrongModel) {
  comm::run_ranks(1, [&](comm::GroupPtr group) {
    TinyRun run(group, config(0, "", 1));
    EXPECT_FALSE(run.engine().load_checkpoint(folder));
    EXPECT_THROW(run.engine().load_checkpoint(folder, {.tag = "none"}), base::Error);
    run.engine().save_checkpoint(folder);
    TinyRun other(group, config(0, "", 1), tiny_spec("llama"));
    EXPECT_THROW(other.engine().load_checkpoint(folder), base::Error);
  });
}

}  // namespace
}  // namespace deepspeed::engine
