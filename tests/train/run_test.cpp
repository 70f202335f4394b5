// ds_train through the launcher: logs, checkpoints, export.
#include <map>
#include <nlohmann/json.hpp>

#include "deepspeed/base/file.h"
#include "deepspeed/formats/safetensors.h"
#include "tests/support/combinations.h"
#include "tests/train/folder.h"

namespace deepspeed {
namespace {

using testing_support::Finished;
using testing_support::run;
namespace fs = std::filesystem;

class DsTrain : public testing_support::TrainingFolder {};

TEST_F(DsTrain, WritesTheDocumentedLogOnTwoRanks) {
  const Finished finished = run(launched(2, {"--log-jsonl", path("log.jsonl"), "--quiet"}));
  ASSERT_EQ(finished.code, 0) << finished.output;
  EXPECT_EQ(finished.output, "");
  const auto lines = log_lines(path("log.jsonl"));
  ASSERT_EQ(lines.size(), 2u);
  for (const char* key : {"step", "loss", "lr", "grad_norm", "loss_scale", "skipped", "tokens",
                          "tokens_per_s", "step_ms", "rss_bytes", "device_bytes"})
    EXPECT_TRUE(lines[1].contains(key)) << key;
  EXPECT_GT(lines[0]["start_s"].get<double>(), 0);
  EXPECT_FALSE(lines[1].contains("start_s"));
  EXPECT_EQ(lines[1]["step"], 2);
  EXPECT_EQ(lines[1]["tokens"], 2 * 32);
}

TEST_F(DsTrain, ResumesToTheSameLossesAsAnUninterruptedRun) {
  ASSERT_EQ(run(launched(2, {"--steps", "6", "--log-jsonl", path("whole.jsonl"), "-q"})).code, 0);
  ASSERT_EQ(
      run(launched(2, {"--steps", "3", "--log-jsonl", path("parts.jsonl"), "--save", path("ckpt"), "-q"}))
          .code,
      0);
  const Finished second = run(launched(2, {"--steps", "6", "--log-jsonl", path("parts.jsonl"), "--save",
                                           path("ckpt"), "--load", path("ckpt"), "-q"}));
  ASSERT_EQ(second.code, 0) << second.output;
  const auto whole = log_lines(path("whole.jsonl")), parts = log_lines(path("parts.jsonl"));
  ASSERT_EQ(parts.size(), 6u);
  for (size_t i = 0; i < 6; ++i) EXPECT_EQ(whole[i]["loss"], parts[i]["loss"]) << i;
  EXPECT_EQ(base::read_text_file(path("ckpt/latest")), "global_step6");
}

TEST_F(DsTrain, ExportsAFolderThatItTrainsFromAgain) {
  ASSERT_EQ(run(launched(2, {"--export", path("exported"), "-q"})).code, 0);
  const formats::SafetensorsFile file(path("exported/model.safetensors"));
  EXPECT_NE(file.find("transformer.wte.weight"), nullptr);
  EXPECT_EQ(file.find("lm_head.weight"), nullptr);  // tied: written once
  auto command = train({"-q"});
  command[2] = path("exported");
  const Finished again = run(command);
  EXPECT_EQ(again.code, 0) << again.output;
}

TEST_F(DsTrain, ExportsTheSameWeightsAtStageThreeAsAtZero) {
  // Bit for bit, since nothing is clipped or accumulated. Most parameters of these small models are sharded,
  // gathered for each use and reduced in several buckets.
  const std::string rest = R"(, "stage3_param_persistence_threshold": 30, "stage3_max_live_parameters": 9000,
      "stage3_max_reuse_distance": 0, "stage3_prefetch_bucket_size": 5000, "reduce_bucket_size": 7000}})";
  for (const std::string model : {"gpt2", "llama"}) {
    fs::remove_all(path("model"));
    fs::copy(fs::path(DS_SOURCE_DIR) / "tests/parity/goldens/models" / model, path("model"));
    std::map<int, std::string> weights;
    for (int stage : {0, 3}) {
      write("ds.json",
            R"({"train_micro_batch_size_per_gpu": 2, "optimizer": {"type": "AdamW", "params": {"lr": 1e-3}},
                "zero_optimization": {"stage": )" +
                std::to_string(stage) + rest);
      const Finished finished = run(launched(2, {"--steps", "6", "--export", path("exported"), "-q"}));
      ASSERT_EQ(finished.code, 0) << finished.output;
      weights[stage] = base::read_text_file(path("exported/model.safetensors"));
    }
    EXPECT_TRUE(weights[0] == weights[3]) << model;
    EXPECT_FALSE(weights[0] == base::read_text_file(path("model/model.safetensors"))) << model;
  }
}

TEST_F(DsTrain, TrainsEveryFamilyAndExportsIt) {
  const fs::path goldens = fs::path(DS_SOURCE_DIR) / "tests/parity/goldens";
  const auto manifest = nlohmann::json::parse(base::read_text_file(goldens / "manifest.json"));
  std::string tokens;
  for (int i = 0; i < 400; ++i) tokens += {static_cast<char>(i * 7 % 67), '\0'};
  write("data.bin", tokens);
  std::map<std::string, fs::path> families;
  for (const auto& entry : manifest["logits"]) {
    const fs::path model = goldens / entry["model"].get<std::string>();
    const auto config = nlohmann::json::parse(base::read_text_file(model / "config.json"));
    families.emplace(config["model_type"], model);
  }
  EXPECT_GE(families.size(), 18u);
  using Family = std::pair<std::string, fs::path>;
  for (const auto& [name, model] :
       testing_support::some_of(std::vector<Family>(families.begin(), families.end()), 4)) {
    auto command = train({"--seq-length", "16", "--export", path("exported"), "-q"});
    command[2] = model;
    const Finished finished = run(command);
    ASSERT_EQ(finished.code, 0) << model << finished.output;
    EXPECT_EQ(finished.output, "") << model;
    EXPECT_TRUE(fs::exists(path("exported/model.safetensors"))) << model;
    fs::remove_all(path("exported"));
  }
}

TEST_F(DsTrain, InitialisesFromTheSeedWithoutWeights) {
  fs::remove(folder / "model/model.safetensors");
  ASSERT_EQ(run(train({"--log-jsonl", path("a.jsonl"), "-q"})).code, 0);
  ASSERT_EQ(run(train({"--log-jsonl", path("b.jsonl"), "-q"})).code, 0);
  ASSERT_EQ(run(train({"--log-jsonl", path("c.jsonl"), "-q", "--seed", "2"})).code, 0);
  EXPECT_EQ(log_lines(path("a.jsonl"))[1]["loss"], log_lines(path("b.jsonl"))[1]["loss"]);
  EXPECT_NE(log_lines(path("a.jsonl"))[0]["loss"], log_lines(path("c.jsonl"))[0]["loss"]);
}

// With optimizer states on a disk, which must be free again afterwards. The last checkpoint goes on.
}  // namespace
}  // namespace deepspeed
