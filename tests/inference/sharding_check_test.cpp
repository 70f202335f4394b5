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

TEST(ShardingCheck, EveryTasksEnginesPassIt) {
  std::vector<fs::path> folders = {tiny_folder("llama"), tiny_folder("bloom")};
  for (const auto& entry : fs::directory_iterator(inference_goldens() / "models"))
    folders.push_back(entry.path());
  ASSERT_GT(folders.size(), 10u);
  for (const fs::path& folder : folders)
    for (const char* dtype : {"fp32", "bf16"})
      comm::run_ranks(2, [&](comm::GroupPtr group) {
        EXPECT_EQ(error_of([&] { engine_of(folder, checked(dtype), group); }), "no error")
            << folder << " " << dtype;
      });
}

TEST(ShardingCheck, TakesExpertsInFp32) {  // where bf16 rounds, this one's routers choose others
  comm::run_ranks(2, [&](comm::GroupPtr group) {
    EXPECT_EQ(error_of([&] { engine_of(tiny_folder("mixtral"), checked("fp32"), group); }), "no error");
  });
}

TEST(ShardingCheck, TakesPackedWeights) {
  for (const char* dtype : {"fp32", "bf16"})
    comm::run_ranks(2, [&](comm::GroupPtr group) {
      EXPECT_EQ(error_of([&] { engine_of(tiny_folder("llama"), checked(dtype, true), group); }), "no error");
    });
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
        HasSubstr("what 2 tensor-parallel ranks compute differs from one rank"));
    EXPECT_THAT(
        error_of([&] { check_sharding(engine.module(), whole, engine.source(), engine.task(), *group); }),
        HasSubstr("first in layers.1"));
  });
}

}  // namespace
}  // namespace deepspeed::inference
