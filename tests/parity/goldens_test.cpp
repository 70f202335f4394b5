// That the goldens show what they are meant to show: every pair of factor levels, a falling loss, and a
// comparison that a learning rate 2 % off would fail. Replaying them is another test's work.
#include <gmock/gmock.h>

#include <filesystem>
#include <nlohmann/json.hpp>
#include <numeric>
#include <set>
#include <sstream>

#include "deepspeed/base/file.h"
#include "deepspeed/formats/safetensors.h"

namespace deepspeed {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

const fs::path kGoldens = fs::path(DS_SOURCE_DIR) / "tests/parity/goldens";

Json read_json(const fs::path& path) { return Json::parse(base::read_text_file(path)); }
const Json& manifest() {
  static const Json json = read_json(kGoldens / "manifest.json");
  return json;
}
std::vector<Json> rows_of(const Json& run) {
  std::istringstream text(base::read_text_file(kGoldens / run["expected"].get<std::string>()));
  std::vector<Json> rows;
  for (std::string line; std::getline(text, line);) rows.push_back(Json::parse(line));
  return rows;
}

TEST(ParityGoldens, EveryPairOfFactorLevelsMeetsInSomeRun) {
  const Json factors = {
      {"arch", {"gpt2", "llama"}},
      {"stage", {0, 1, 2}},
      {"ranks", {2, 3}},
      {"accumulation", {1, 2, 3}},
      {"schedule", {"WarmupLR", "WarmupDecayLR", "WarmupCosineLR", "OneCycle", "LRRangeTest"}},
      {"precision", {"fp32", "bf16"}}};
  EXPECT_LE(manifest()["runs"].size(), 31u);
  for (auto a = factors.begin(); a != factors.end(); ++a)
    for (auto b = std::next(a); b != factors.end(); ++b)
      for (const Json& x : a.value())
        for (const Json& y : b.value()) {
          auto meets = [&](const Json& run) {
            return run["factors"][a.key()] == x && run["factors"][b.key()] == y;
          };
          EXPECT_TRUE(std::any_of(manifest()["runs"].begin(), manifest()["runs"].end(), meets))
              << a.key() << "=" << x << " never meets " << b.key() << "=" << y;
        }
}

TEST(ParityGoldens, EveryRunIsWhatItsFactorsSay) {
  for (const Json& run : manifest()["runs"]) {
    SCOPED_TRACE(run["name"]);
    const Json config = read_json(kGoldens / run["config"].get<std::string>());
    const Json& factors = run["factors"];
    EXPECT_EQ(config["zero_optimization"]["stage"], factors["stage"]);
    EXPECT_EQ(config["gradient_accumulation_steps"], factors["accumulation"]);
    EXPECT_EQ(config["scheduler"]["type"], factors["schedule"]);
    EXPECT_EQ(config.contains("bf16"), factors["precision"] == "bf16");
    EXPECT_EQ(config.contains("torch_autocast"), factors["precision"] == "bf16-autocast");
    EXPECT_EQ(run["world_size"], factors["ranks"]);
    const Json model = read_json(kGoldens / run["model"].get<std::string>() / "config.json");
    EXPECT_EQ(model["model_type"], factors["arch"]);
    for (const char* key : {"resid_pdrop", "embd_pdrop", "attn_pdrop", "attention_dropout"})
      EXPECT_EQ(model.value(key, 0.0), 0.0) << key;
    EXPECT_TRUE(fs::exists(kGoldens / run["data"].get<std::string>()));
  }
}

TEST(ParityGoldens, RunsOfStage3ShardMostParametersInEveryWay) {
  std::set<std::string> seen;
  for (const Json& run : manifest()["runs"]) {
    const Json& factors = run["factors"];
    if (factors["stage"] != 3) continue;
    SCOPED_TRACE(run["name"]);
    const Json zero = read_json(kGoldens / run["config"].get<std::string>())["zero_optimization"];
    const formats::SafetensorsFile file(kGoldens / run["model"].get<std::string>() / "model.safetensors");
    size_t sharded = 0;
    for (const auto& info : file.tensors())
      sharded += std::accumulate(info.shape.begin(), info.shape.end(), int64_t{1}, std::multiplies()) >=
                 zero["stage3_param_persistence_threshold"].get<int64_t>();
    EXPECT_GT(sharded, file.tensors().size() / 2);
    const std::string kind = factors["precision"].get<std::string>() + " ";
    seen.insert(kind + factors["arch"].get<std::string>());
    seen.insert(kind + factors["ranks"].dump() + " ranks");
    seen.insert(kind + (factors["accumulation"] > 1 ? "accumulated" : "at once"));
    seen.insert(kind + (zero.contains("reduce_bucket_size") ? "buckets" : "one bucket"));
    seen.insert(kind + (zero.contains("stage3_max_live_parameters") ? "few live" : "all live"));
    if (!zero.value("reduce_scatter", true)) seen.insert("all-reduced");
  }
  EXPECT_EQ(seen.size(), 2 * 10 + 1);
}

TEST(ParityGoldens, OffloadedRunsHaveEveryCpuOptimizerStageAndNumberOfRanks) {
  std::set<std::string> seen;
  for (const Json& run : manifest()["runs"]) {
    const Json& factors = run["factors"];
    if (!factors.contains("offload")) continue;
    SCOPED_TRACE(run["name"]);
    const Json config = read_json(kGoldens / run["config"].get<std::string>());
    const Json& offload = config["zero_optimization"]["offload_optimizer"];
    EXPECT_EQ(offload["device"], factors["offload"]);
    EXPECT_EQ(config["optimizer"]["type"], factors["optimizer"]);
    const std::string type = factors["optimizer"];
    seen.insert(type);
    for (const char* key : {"stage", "ranks"}) seen.insert(key + factors[key].dump());
    seen.insert(factors["precision"].get<std::string>() + (type.starts_with("Adam") ? " Adam" : " other"));
    if (offload.value("ratio", 1.0) < 1) seen.insert("ratio");
  }
  EXPECT_THAT(seen, testing::UnorderedElementsAre("Adam", "AdamW", "Adagrad", "Lion", "stage2", "stage3",
                                                  "ranks2", "ranks3", "fp32 Adam", "fp32 other", "bf16 Adam",
                                                  "bf16 other", "ratio"));
}

TEST(ParityGoldens, EveryLossFallsByANatInFiftySteps) {
  for (const Json& run : manifest()["runs"]) {
    SCOPED_TRACE(run["name"]);
    const auto rows = rows_of(run);
    ASSERT_EQ(rows.size(), 50u);
    EXPECT_GE(rows.front()["loss"].get<double>() - rows.back()["loss"].get<double>(), 1.0);
    for (size_t i = 0; i < rows.size(); ++i) EXPECT_EQ(rows[i]["step"], i + 1);
  }
}

TEST(ParityGoldens, ALearningRateTwoPercentOffWouldBeNoticedInTheLossAlone) {
  for (const Json& run : manifest()["runs"])
    EXPECT_GT(run["learning_rate_2_percent_off"]["loss"].get<double>(), 1.0) << run["name"];
}

TEST(ParityGoldens, RoundingAloneStaysWellInsideTheLossTolerance) {
  for (const Json& run : manifest()["runs"])
    EXPECT_LT(run["eager_attention"]["loss"].get<double>(), 0.1) << run["name"];
}

TEST(ParityGoldens, TolerancesAreTheAgreedOnes) {
  for (const Json& run : manifest()["runs"]) {
    const bool bf16 = run["factors"]["precision"] != "fp32";
    const Json& tolerance = run["tolerance"];
    EXPECT_EQ(tolerance["loss_relative"], bf16 ? 5e-3 : 1e-4);
    EXPECT_EQ(tolerance["loss_absolute"], bf16 ? Json(2e-2) : Json(nullptr));
    EXPECT_EQ(tolerance["lr_absolute"], 1e-9);
    EXPECT_EQ(tolerance["grad_norm_relative"], 1e-3);
  }
}

TEST(ParityGoldens, LogitsAndGradientNormsCoverEveryFamily) {
  std::set<std::string> families;
  for (const Json& entry : manifest()["logits"]) {
    families.insert(read_json(kGoldens / entry["model"].get<std::string>() / "config.json")["model_type"]);
    formats::SafetensorsFile file(kGoldens / entry["expected"].get<std::string>());
    for (const char* name : {"input_ids", "logits", "single.input_ids", "single.logits", "loss"})
      EXPECT_NE(file.find(name), nullptr) << name;
    size_t norms = 0;
    for (const auto& info : file.tensors()) norms += info.name.starts_with("grad_norm.");
    EXPECT_GE(norms, 15u);
  }
  EXPECT_THAT(families, testing::ElementsAre("bloom", "falcon", "gemma", "gemma2", "gemma3_text", "gpt2",
                                             "gpt_neo", "gpt_neox", "gptj", "llama", "mistral", "mixtral",
                                             "opt", "phi", "phi3", "qwen2", "qwen2_moe", "qwen3"));
}

}  // namespace
}  // namespace deepspeed
