// Real models, where `./dev models` has fetched them.
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>

#include "deepspeed/base/env.h"
#include "deepspeed/base/file.h"
#include "deepspeed/inference/engine.h"

namespace deepspeed::inference {
namespace {

namespace fs = std::filesystem;
using config::Json;

TEST(RealModels, MiniLmsEmbeddingsAreThoseOfTransformers) {
  const std::string home = base::env("HOME").value_or("/");
  const fs::path folder =
      fs::path(base::env("DEEPSPEED_MODELS").value_or(home + "/.cache/deepspeed-models")) /
      "all-MiniLM-L6-v2";
  if (!fs::exists(folder / "model.safetensors"))
    GTEST_SKIP() << "SKIPPED, not tested: " << folder << " is missing (./dev models fetches it)";
  const Json rows = Json::parse(
      base::read_text_file(fs::path(DS_SOURCE_DIR) / "tests/inference/goldens/minilm_embeddings.json"));
  std::vector<std::string> texts;
  for (const Json& row : rows) texts.push_back(row["text"]);
  for (const bool packed : {false, true}) {
    const auto engine =
        init_inference(folder.string(), "", {{"dtype", "fp32"}, {"replace_with_kernel_inject", packed}});
    const at::Tensor ours =
        engine->feature_extraction().sentences(texts, read_sentence_config(folder).value()).to(at::kDouble);
    ASSERT_EQ(ours.sizes(), at::IntArrayRef({static_cast<int64_t>(rows.size()), 384}));
    for (size_t i = 0; i < rows.size(); ++i) {
      const auto theirs = at::tensor(rows[i]["embedding"].get<std::vector<double>>(), at::kDouble);
      const at::Tensor own = ours[static_cast<int64_t>(i)];
      const double cosine = (own.dot(theirs) / own.norm() / theirs.norm()).item<double>();
      EXPECT_LT(1 - cosine, 1e-5) << "text " << i << (packed ? ", packed" : "");
      EXPECT_LT((own - theirs).abs().max().item<double>(), 1e-4) << "text " << i;
    }
  }
}

}  // namespace
}  // namespace deepspeed::inference
