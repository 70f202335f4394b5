// What transformers goes on with after ten prompts, of every family of decoders (README.md beside this file).
#pragma once

#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>
#include <string>
#include <vector>

#include "deepspeed/base/file.h"
#include "deepspeed/inference/engine.h"

namespace deepspeed::testing_support {

namespace fs = std::filesystem;

inline const fs::path kGoldens = fs::path(DS_SOURCE_DIR) / "tests/parity/goldens";

inline std::vector<std::string> families() {
  std::vector<std::string> names;
  const config::Json manifest = config::Json::parse(base::read_text_file(kGoldens / "manifest.json"));
  for (const auto& entry : manifest["logits"])
    names.push_back(fs::path(entry["expected"].get<std::string>()).stem());
  return names;
}

struct Golden {
  std::vector<std::vector<int32_t>> prompts, continuations;
  std::vector<size_t> first_near_tie;
};

inline std::vector<std::vector<int32_t>> rows_of(const formats::SafetensorsFile& file,
                                                 const std::string& name) {
  const auto* info = file.find(name);
  const auto bytes = file.data(*info);
  std::vector<int64_t> all(bytes.size() / sizeof(int64_t));
  std::memcpy(all.data(), bytes.data(), bytes.size());
  const auto rows = static_cast<size_t>(info->shape[0]), width = all.size() / rows;
  std::vector<std::vector<int32_t>> out(rows);
  for (size_t i = 0; i < all.size(); ++i) out[i / width].push_back(static_cast<int32_t>(all[i]));
  return out;
}

inline Golden golden_of(const std::string& family) {
  const formats::SafetensorsFile file(kGoldens / "logits" / (family + ".safetensors"));
  Golden golden{rows_of(file, "prompts"), rows_of(file, "continuations"), {}};
  for (const auto& row : rows_of(file, "first_near_tie"))
    golden.first_near_tie.push_back(static_cast<size_t>(row[0]));
  return golden;
}

inline fs::path folder_of(const std::string& family) { return kGoldens / "models" / (family + "-sharp"); }

// Up to the first step at which the two best logits of transformers are nearly tied.
inline void expect_continuations(inference::InferenceEngine& engine, const Golden& golden) {
  const auto answers = engine.generate_tokens(
      golden.prompts,
      {{"max_new_tokens", golden.continuations[0].size()}, {"do_sample", false}, {"eos_token_id", nullptr}});
  ASSERT_EQ(answers.size(), golden.prompts.size());
  for (size_t i = 0; i < answers.size(); ++i) {
    const auto& ours = answers[i].sequences.at(0).tokens;
    const auto& theirs = golden.continuations[i];
    ASSERT_EQ(ours.size(), theirs.size());
    for (size_t step = 0; step < golden.first_near_tie[i]; ++step)
      ASSERT_EQ(ours[step], theirs[step]) << "prompt " << i << ", step " << step;
  }
}

}  // namespace deepspeed::testing_support
