// A real BERT, where `./dev models` has fetched it: its tokenizer, and hidden states out of files with bare
// names.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "deepspeed/base/env.h"
#include "deepspeed/base/file.h"
#include "deepspeed/models/encoder_heads.h"
#include "deepspeed/models/weights.h"
#include "deepspeed/text/tokenizer.h"

namespace deepspeed {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

class MiniLm : public testing::Test {
 protected:
  void SetUp() override {
    const std::string home = base::env("HOME").value_or("/");
    folder = fs::path(base::env("DEEPSPEED_MODELS").value_or(home + "/.cache/deepspeed-models")) /
             "all-MiniLM-L6-v2";
    if (!fs::exists(folder / "model.safetensors"))
      GTEST_SKIP() << "SKIPPED, not tested: " << folder << " is missing (./dev models fetches it)";
    rows = Json::parse(base::read_text_file(fs::path(DS_SOURCE_DIR) / "tests/parity/goldens/minilm.json"));
  }
  fs::path folder;
  Json rows;
};

TEST_F(MiniLm, TokenizesAsTokenizersDoes) {
  const auto tokenizer = text::Tokenizer::from_file(folder / "tokenizer.json");
  for (const Json& row : rows) {
    const auto ids = row["ids"].get<std::vector<int32_t>>();
    EXPECT_EQ(tokenizer.encode(row["text"].get<std::string>()).ids, ids) << row["text"];
    EXPECT_EQ(tokenizer.decode(ids), row["decoded"].get<std::string>());
  }
}

TEST_F(MiniLm, GivesTheHiddenStatesOfTransformers) {
  const at::NoGradGuard no_grad;
  const auto spec = models::read_arch_spec(folder / "config.json");
  models::SequenceClassifier model(spec, std::make_shared<accel::Rng>(1));
  const auto parameters = nn::list_parameters(model);
  const models::WeightSource weights(formats::ModelFiles::open(folder), spec);
  weights.check(parameters);
  EXPECT_EQ(weights.initialised(parameters),
            (std::vector<std::string>{"classifier.weight", "classifier.bias"}));
  EXPECT_TRUE(weights.unused(parameters).empty());
  nn::DenseMaterializer().materialize(parameters, weights);
  model.eval();
  auto& encoder = dynamic_cast<models::Encoder&>(*model.named_children()["encoder"]);
  for (const Json& row : rows) {
    const auto ids = row["ids"].get<std::vector<int64_t>>();
    const std::optional<at::Tensor> none;
    const at::Tensor pooled = encoder.forward(at::tensor(ids).unsqueeze(0), none, none)[0].mean(0);
    for (size_t i = 0; i < row["pooled"].size(); ++i)
      EXPECT_NEAR(pooled[static_cast<int64_t>(i)].item<double>(), row["pooled"][i].get<double>(), 2e-5) << i;
  }
}

}  // namespace
}  // namespace deepspeed
