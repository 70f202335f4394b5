// tensor_parallel.check_against_one_rank, through engines of every task.
#include "deepspeed/inference/sharding_check.h"

#include <ATen/ATen.h>

#include "deepspeed/comm/ranks.h"
#include "deepspeed/inference/engine.h"
#include "task_case.h"
#include "tests/support/error_of.h"
#include "tiny_models.h"

namespace deepspeed::inference {
namespace {

using testing_support::error_of;
namespace fs = std::filesystem;
using ::testing::HasSubstr;

InferenceConfig checked(const std::string& dtype, bool packed = false) {
  return parse_inference_config(
      "",
      {{"dtype", dtype}, {"kernel_inject", packed}, {"tensor_parallel", {{"check_against_one_rank", true}}}});
}

InferenceEngine engine_of(const fs::path& folder, const InferenceConfig& config, comm::GroupPtr group) {
  ModelSource source = open_model(folder.string(), config);
  const Task task = guess_task(source.config, usual_task(source.spec));
  return {std::move(source), config, task, std::move(group)};
}

// Makes an engine on two ranks: what both say, and the check's line where it was made.
std::string loaded(const fs::path& folder, const InferenceConfig& config) {
  testing::internal::CaptureStderr();
  std::string errors[2];
  comm::run_ranks(2, [&](comm::GroupPtr group) {
    errors[group->rank()] = error_of([&] { engine_of(folder, config, group); });
  });
  return testing::internal::GetCapturedStderr() + errors[0] + ", " + errors[1];
}

const auto kPassed =
    testing::AllOf(HasSubstr("2 ranks give what one rank gives"), HasSubstr("no error, no error"));

TEST(ShardingCheck, EveryTasksEnginesPassIt) {
  std::vector<fs::path> folders = {tiny_folder("llama"), tiny_folder("bloom")};
  for (const auto& entry : fs::directory_iterator(inference_goldens() / "models"))
    folders.push_back(entry.path());
  ASSERT_GT(folders.size(), 10u);
  for (const fs::path& folder : folders)
    for (const char* dtype : {"fp32", "bf16"}) EXPECT_THAT(loaded(folder, checked(dtype)), kPassed) << folder;
}

TEST(ShardingCheck, IsMadeWhereItIsAskedFor) {
  InferenceConfig config = checked("fp32");
  config.tensor_parallel.check_against_one_rank = false;
  EXPECT_EQ(loaded(tiny_folder("llama"), config), "no error, no error");
}

// Where bf16 rounds, routers choose others.
TEST(ShardingCheck, TakesExpertsInFp32Alone) {
  EXPECT_THAT(loaded(tiny_folder("mixtral"), checked("fp32")), kPassed);
  EXPECT_THAT(loaded(tiny_folder("mixtral"), checked("bf16")), HasSubstr("choose other experts"));
}

TEST(ShardingCheck, TakesPackedWeights) {
  for (const char* dtype : {"fp32", "bf16"})
    EXPECT_THAT(loaded(tiny_folder("llama"), checked(dtype, true)), kPassed);
}

TEST(ShardingCheck, NamesWhatDiffersOnEveryRank) {
  comm::run_ranks(2, [&](comm::GroupPtr group) {
    InferenceEngine engine = engine_of(tiny_folder("llama"), checked("fp32"), group);
    if (group->rank() == 1) {
      const at::NoGradGuard no_grad;
      engine.module().named_parameters()["layers.1.mlp.down.weight"].mul_(1.5);
    }
    models::Decoder whole(engine.spec(), nullptr);
    EXPECT_THAT(
        error_of([&] { check_sharding(engine.module(), whole, engine.source(), engine.task(), *group); }),
        testing::AllOf(HasSubstr("what 2 tensor-parallel ranks compute differs from one rank"),
                       HasSubstr("first in layers.1")));
  });
}

}  // namespace
}  // namespace deepspeed::inference
