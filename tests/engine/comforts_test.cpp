// The plan of a dry run, the account of memory and the progress line.
#include <gmock/gmock.h>
#include <unistd.h>

#include <filesystem>

#include "deepspeed/engine/dry_run.h"
#include "deepspeed/engine/parse_config.h"
#include "deepspeed/engine/progress_line.h"
#include "deepspeed/engine/step_log.h"
#include "tests/engine/tiny.h"

namespace deepspeed::engine {
namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

DeepspeedConfig config_of(const std::string& more, int world_size) {
  return parse_config(R"({"train_micro_batch_size_per_gpu": 2, "gradient_accumulation_steps": 3,
                          "optimizer": {"type": "Adam"}, )" +
                          more + "}",
                      world_size);
}

// What the engine really holds: parameters, gradients and optimizer states of each rank.
TEST(DryRun, CountsTheBytesThatTheEngineTakes) {
  for (const bool bf16 : {false, true})
    for (const int stage : {0, 1, 2})
      comm::run_ranks(2, [&](comm::GroupPtr group) {
        TinyRun run(group,
                    fmt::format(R"({{"train_micro_batch_size_per_gpu": 2, "optimizer": {{"type": "Adam"}},
            "bf16": {{"enabled": {}}}, "zero_optimization": {{"stage": {}}}}})",
                                bf16, stage));
        run.steps(1);
        int64_t masters = 0, moments = 0, seen = 0;
        for (const auto& parameters : run.engine().optimizer().groups())
          for (const auto& piece : parameters.pieces) {
            seen += piece.param.numel();
            if (bf16) masters += piece.param.numel() * 4;
            moments += piece.param.numel() * 8;
          }
        const auto layout =
            partition::Layout::concatenated(nn::sizes_of(nn::list_parameters(*run.model)), group->size());
        const zero::StateBytes bytes = state_bytes(run.engine().config(), layout);
        const int64_t padding = (layout.padded_numel() - layout.numel()) * 12;
        EXPECT_GT(seen, 0);
        // The last rank's padding is no piece, and stage 0 has none at all.
        EXPECT_NEAR(bytes.optimizer, masters + moments, padding) << stage << bf16;
        EXPECT_EQ(bytes.parameters, layout.padded_numel() * (bf16 ? 2 : 4));
        EXPECT_EQ(bytes.gradients,
                  (stage == 2 ? layout.shard_numel() : layout.padded_numel()) * (bf16 ? 2 : 4));
      });
}

// What the engine counts is what the plan foretold; tiles and files are whole pages.
TEST(MemoryAccount, IsThePlansInEveryPlacement) {
  const auto folder = fs::temp_directory_path() / fmt::format("ds_account_{}", ::getpid());
  for (const bool bf16 : {false, true})
    for (const int stage : {0, 1, 2, 3})
      for (const std::string device : {"", "optimizer", "param"}) {
        if (device == "param" && stage < 3) continue;
        SCOPED_TRACE(fmt::format("{}, stage {}, NVMe: {}", bf16 ? "bf16" : "fp32", stage, device));
        const bool nvme = !device.empty();
        const std::string offload =
            nvme ? fmt::format(R"(, "offload_{}": {{"device": "nvme", "nvme_path": "{}"{}}})", device,
                               folder.string(), device == "param" ? R"(, "max_in_cpu": 0)" : "")
                 : "";
        comm::run_ranks(2, [&](comm::GroupPtr group) {
          TinyRun run(group, fmt::format(R"({{"train_micro_batch_size_per_gpu": 2,
              "optimizer": {{"type": "Adam"}}, "bf16": {{"enabled": {}}},
              "zero_optimization": {{"stage": {}, "stage3_param_persistence_threshold": 0{}}}}})",
                                         bf16, stage, offload));
          run.steps(1);
          const auto sizes = nn::sizes_of(nn::list_parameters(*run.model));
          const auto layout = stage == 3 ? partition::Layout::per_parameter(sizes, group->size())
                                         : partition::Layout::concatenated(sizes, group->size());
          const zero::StateBytes plan = state_bytes(run.engine().config(), layout),
                                 held = run.engine().state_bytes();
          const int64_t padding = (layout.padded_numel() - layout.numel()) * 12;
          EXPECT_EQ(held.parameters, plan.parameters);
          EXPECT_EQ(held.gradients, plan.gradients);
          EXPECT_NEAR(held.optimizer, plan.optimizer, padding + (nvme ? 2 * 65536 : 0));
          EXPECT_NEAR(held.on_disk, plan.on_disk, padding + (nvme ? 65536 : 0));
          EXPECT_EQ(held.on_disk > 0, nvme);
          EXPECT_EQ(held.gathered > 0, stage == 3);
          EXPECT_EQ(held.buckets, 0);
        });
      }
  fs::remove_all(folder);
}

// Rules keep one or two tensors beside an element, in the format of what they update.
TEST(DryRun, CountsTheStatesOfEveryOptimizer) {
  const std::string bf16 = R"(, "bf16": {"enabled": true})",
                    masters = R"(, "bf16": {"enabled": true, "bf16_master_weights_and_grads": true,
                                            "bf16_optimizer_states": true})",
                    offload = R"(, "offload_optimizer": {"device": "cpu"})";
  for (const char* type : {"Adam", "AdamW", "Adagrad", "Lion"})
    for (const auto& [more, zero] :
         {std::pair{std::string(), std::string()}, {bf16, ""}, {masters, ""}, {bf16, offload}})
      comm::run_ranks(1, [&, &more = more, &zero = zero](comm::GroupPtr group) {
        TinyRun run(group,
                    fmt::format(R"({{"train_micro_batch_size_per_gpu": 2, "optimizer": {{"type": "{}"}},
                                            "zero_optimization": {{"stage": 1{}}}{}}})",
                                type, zero, more));
        run.steps(1);
        int64_t held = 0;
        auto& optimizer = run.engine().optimizer();
        for (size_t i = 0; i < optimizer.groups()[0].pieces.size(); ++i) {
          const auto& piece = optimizer.groups()[0].pieces[i];
          if (piece.low_precision_copy.defined()) held += static_cast<int64_t>(piece.param.nbytes());
          for (const auto& [name, state] : optimizer.piece_state(0, i))
            held += static_cast<int64_t>(state.nbytes());
        }
        const auto layout =
            partition::Layout::concatenated(nn::sizes_of(nn::list_parameters(*run.model)), group->size());
        EXPECT_EQ(state_bytes(run.engine().config(), layout).optimizer, held) << type << more << zero;
      });
}

TEST(DryRun, TellsPartitionBatchStepsAndBuckets) {
  const RunPlan plan{.model_type = "gpt2",
                     .parameters = {{"a", 1000}, {"b", 3000}, {"c", 2001}},
                     .world_size = 4,
                     .samples = 5000,
                     .seq_length = 128,
                     .steps = 1200,
                     .steps_per_epoch = 208,
                     .activation_bytes = 12e6};
  const std::string text =
      plan_text(config_of(R"("zero_optimization": {"stage": 2, "reduce_bucket_size": 3000})", 4), plan);
  EXPECT_THAT(text, HasSubstr("gpt2, 6,001 parameters in 3 tensors, fp32"));
  EXPECT_THAT(
      text,
      HasSubstr(
          "4, ZeRO stage 2: gradients and optimizer states in 4 parts of 1,502 elements (7 of padding"));
  EXPECT_THAT(text, HasSubstr("24 samples of 128 tokens: 2 a rank and micro-batch, 3 accumulated, 4 ranks"));
  EXPECT_THAT(text, HasSubstr("1,200; 5,000 samples, 208 steps an epoch"));
  EXPECT_THAT(text, HasSubstr("activations about 12.00 MB"));
  EXPECT_THAT(text, HasSubstr("3 buckets, the largest of 3,000 elements"));
  EXPECT_THAT(
      plan_text(
          config_of(
              R"("zero_optimization": {"stage": 1, "offload_optimizer": {"device": "nvme", "nvme_path": "/disk"}})",
              4),
          plan),
      HasSubstr("of model states a rank"));
  EXPECT_THAT(plan_text(config_of(R"("zero_optimization": {"stage": 0})", 4), plan),
              HasSubstr("every rank holds all states"));
}

TEST(DryRun, CountsASecondPartitionAndShardGroups) {
  const RunPlan plan{
      .model_type = "gpt2", .parameters = {{"a", 1000}, {"b", 3000}, {"c", 2001}}, .world_size = 4};
  const auto layout = partition::Layout::per_parameter(plan.parameters, 4);
  const auto with = [](const std::string& keys) {
    return config_of(
        R"("zero_optimization": {"stage": 3, "stage3_param_persistence_threshold": 0)" + keys + "}", 4);
  };
  const auto parameters = [&](const std::string& keys) { return state_bytes(with(keys), layout).parameters; };
  const int64_t own = (250 + 750 + 501) * 4;
  EXPECT_EQ(parameters(""), own);
  EXPECT_EQ(parameters(R"(, "zero_hpz_partition_size": 2)"), own + 2 * own);
  EXPECT_EQ(parameters(R"(, "zero_hpz_partition_size": 4)"), own);
  EXPECT_EQ(parameters(R"(, "zero_hpz_partition_size": 2, "zero_quantized_weights": true)"),
            own + 2 * (256 + 752 + 512 + 3 * 4));  // groups of 16 codes and a scale
  EXPECT_THAT(plan_text(with(R"(, "mics_shard_size": 2)"), plan), HasSubstr("in 2 parts of 3,001 elements"));
}

TEST(StepLog, WritesNansWithoutASign) {
  const double made = -std::numeric_limits<double>::quiet_NaN();
  EXPECT_EQ(fmt::format("{:.4f}", made), "-nan");
  EXPECT_EQ(fmt::format("{:.4f}", plain_nan(made)), "nan");
  EXPECT_EQ(plain_nan(-2.5), -2.5);
}

TEST(ProgressLine, FitsTheTerminal) {
  const StepRecord record{.step = 50, .loss = 2.12345, .lr = 1e-3, .tokens = 800, .step_ms = 1000};
  for (int columns = 0; columns < 200; ++columns)
    EXPECT_LE(progress_line(record, 100, 65, columns).size(), static_cast<size_t>(std::max(columns - 1, 0)));
  EXPECT_EQ(progress_line(record, 100, 65, 80),
            "[==========          ] 50/100  loss 2.1235  lr 1.00e-03  800 tokens/s  ETA 1:05");
  EXPECT_EQ(progress_line(record, 100, 65, 40), "50/100  loss 2.1235  ETA 1:05");
  EXPECT_EQ(progress_line(record, 100, 3700, 22), "50/100  ETA 1:01:40");
  EXPECT_EQ(progress_line(record, 100, 65, 5), "50/1");
}

}  // namespace
}  // namespace deepspeed::engine
