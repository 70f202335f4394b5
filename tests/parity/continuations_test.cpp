// Greedy continuations of every family against transformers' (README.md beside this file) in whichever way a
// model comes to answer: over several ranks, from its own export, with packed weights, from a GGUF file of
// llama.cpp's layout (tests/models/make_weight_files.py), and from that over several ranks.
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>

#include "deepspeed/comm/ranks.h"
#include "deepspeed/inference/engine.h"
#include "tests/parity/continuations.h"
#include "tests/support/combinations.h"

namespace deepspeed {
namespace {

namespace fs = std::filesystem;
using inference::InferenceConfig;
using inference::InferenceEngine;
using testing_support::expect_continuations;
using testing_support::families;
using testing_support::folder_of;
using testing_support::Golden;
using testing_support::golden_of;

const fs::path kGguf = fs::path(DS_SOURCE_DIR) / "tests/models/goldens/gguf";

enum class Files { kFolder, kExport, kGguf };
struct Way {
  const char* name;
  Files files;
  int ranks;
  bool packed;
};
constexpr Way kWays[] = {{"TwoRanks", Files::kFolder, 2, false},
                         {"Export", Files::kExport, 1, false},
                         {"ThreeRanks", Files::kFolder, 3, false},
                         {"Packed", Files::kFolder, 1, true},
                         {"Gguf", Files::kGguf, 1, false},
                         {"GgufOverTwoRanks", Files::kGguf, 2, false},
                         {"GgufOverThreeRanks", Files::kGguf, 3, false}};

struct Case {
  std::string family;
  Way way;
};

// Families that llama.cpp has no architecture for, or whose options none of its keys or tensors is for.
const std::vector<std::string> kWithoutGguf = {"opt",       "gpt_neo",       "falcon-rw",    "phi",
                                               "qwen2_moe", "qwen2_moe-all", "llama-dynamic"};
// Of these its metadata does not say everything: windows, the scale of scores. A config.json beside the file
// does.
const std::vector<std::string> kToldByConfig = {"mistral", "mixtral", "qwen2", "gemma2", "gemma3"};

bool is_in(const std::vector<std::string>& names, const std::string& name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

std::vector<Case> all_cases() {
  std::vector<Case> cases;
  for (const std::string& family : families())
    for (const Way& way : kWays)
      if (way.files != Files::kGguf || !is_in(kWithoutGguf, family)) cases.push_back({family, way});
  return cases;
}

class Continuations : public testing::TestWithParam<Case> {
 protected:
  void SetUp() override {
    scratch =
        fs::temp_directory_path() / fmt::format("ds_continuations_{}_{}", GetParam().family, ::getpid());
    fs::remove_all(scratch);
    fs::create_directories(scratch);
  }
  void TearDown() override { fs::remove_all(scratch); }

  // Where the model is to be read from.
  fs::path model() {
    const auto& [family, way] = GetParam();
    if (way.files == Files::kFolder) return folder_of(family);
    if (way.files == Files::kExport) {
      auto engine = engine_of(folder_of(family), nullptr);
      models::export_hugging_face(scratch, engine.spec(), engine.module(), {.source = folder_of(family)});
      return scratch;
    }
    const fs::path file = kGguf / (family + ".gguf");
    if (!is_in(kToldByConfig, family)) return file;
    fs::copy_file(file, scratch / "model.gguf");
    fs::copy_file(folder_of(family) / "config.json", scratch / "config.json");
    return scratch;
  }
  static InferenceEngine engine_of(const fs::path& path, comm::GroupPtr group) {
    InferenceConfig config;
    config.dtype = inference::WeightType::kFp32;
    config.replace_with_kernel_inject = GetParam().way.packed;
    return {inference::open_model(path.string(), config), config, inference::Task::kTextGeneration,
            std::move(group)};
  }

  fs::path scratch;
};

TEST_P(Continuations, AreTransformers) {
  const Golden golden = golden_of(GetParam().family);
  const fs::path path = model();
  if (const int ranks = GetParam().way.ranks; ranks > 1) {
    comm::run_ranks(ranks, [&](comm::GroupPtr group) {
      InferenceEngine engine = engine_of(path, std::move(group));
      expect_continuations(engine, golden);
    });
  } else {
    InferenceEngine engine = engine_of(path, nullptr);
    expect_continuations(engine, golden);
  }
}

INSTANTIATE_TEST_SUITE_P(Ways, Continuations, testing::ValuesIn(testing_support::some_of(all_cases(), 4)),
                         [](const auto& info) {
                           std::string name = info.param.family + "_" + info.param.way.name;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

// A family that gets a GGUF file must leave the list, and goldens must say enough: nine prompts of ten reach
// their ends without a near tie.
TEST(ContinuationGoldens, CoverEveryFamilyThatHasAFile) {
  for (const std::string& family : families()) {
    EXPECT_EQ(fs::exists(kGguf / (family + ".gguf")), !is_in(kWithoutGguf, family)) << family;
    const Golden golden = golden_of(family);
    size_t whole = 0;
    for (size_t i = 0; i < golden.prompts.size(); ++i)
      whole += golden.first_near_tie[i] == golden.continuations[i].size();
    EXPECT_GE(whole, 9u) << family;
  }
}

}  // namespace
}  // namespace deepspeed
