// Every family trains: on two ranks with gradients and parameters sharded as without, and recomputed as not.
#include <algorithm>
#include <filesystem>

#include "deepspeed/base/file.h"
#include "deepspeed/recompute/recompute.h"
#include "tests/engine/tiny.h"

namespace deepspeed::engine {
namespace {

namespace fs = std::filesystem;

std::vector<std::string> families() {
  const fs::path goldens = fs::path(DS_SOURCE_DIR) / "tests/parity/goldens";
  const auto manifest = nlohmann::json::parse(base::read_text_file(goldens / "manifest.json"));
  std::vector<std::string> folders;
  for (const auto& entry : manifest["logits"]) folders.push_back(goldens / entry["model"].get<std::string>());
  return folders;
}

std::string config(int stage) {
  return R"({"train_micro_batch_size_per_gpu": 2, "gradient_accumulation_steps": 2, "gradient_clipping": 0.1,
             "optimizer": {"type": "AdamW", "params": {"lr": 1e-2}},
             "zero_optimization": {"stage": )" +
         std::to_string(stage) +
         R"(, "stage3_param_persistence_threshold": 30, "stage3_max_live_parameters": 3000,
              "stage3_max_reuse_distance": 0, "stage3_prefetch_bucket_size": 500, "reduce_bucket_size": 2000}})";
}

class FamilyTraining : public testing::TestWithParam<std::string> {
 protected:
  std::vector<double> losses(int stage, bool recomputed = false) const {
    const auto spec = models::read_arch_spec(fs::path(GetParam()) / "config.json");
    std::vector<double> all;
    comm::run_ranks(2, [&](const comm::GroupPtr& group) {
      TinyRun run(group, config(stage), spec);
      if (recomputed)
        recompute::recompute_blocks(*run.model, recompute::layers_of(*run.model), {.rng = run.rng});
      const auto mine = run.steps(4);
      if (group->rank() == 0) all = mine;
    });
    return all;
  }
};
INSTANTIATE_TEST_SUITE_P(Tiny, FamilyTraining, testing::ValuesIn(families()), [](const auto& info) {
  std::string name = fs::path(info.param).filename();
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
});

TEST_P(FamilyTraining, IsTheSameShardedAndRecomputed) {
  const auto plain = losses(0);
  EXPECT_LT(plain.back(), plain.front());
  for (int stage : {2, 3}) {
    const auto got = losses(stage);
    ASSERT_EQ(got.size(), plain.size());
    for (size_t i = 0; i < plain.size(); ++i)
      EXPECT_NEAR(got[i], plain[i], 2e-5 * plain[i]) << stage << " " << i;
  }
  EXPECT_EQ(losses(0, /*recomputed=*/true), plain);
}

}  // namespace
}  // namespace deepspeed::engine
