// Token for token what transformers generates (make_goldens.py beside this file).
#include <fmt/format.h>
#include <gmock/gmock.h>

#include <cmath>
#include <map>

#include "deepspeed/base/file.h"
#include "deepspeed/inference/generate.h"
#include "tests/inference/tiny_models.h"

namespace deepspeed::inference {
namespace {

using config::Json;

const std::filesystem::path kGoldens = std::filesystem::path(DS_SOURCE_DIR) / "tests/inference/goldens";

const Json& golden() {
  static const Json value = Json::parse(base::read_text_file(kGoldens / "generation.json"));
  return value;
}

const text::Tokenizer& tokenizer() {
  static const auto one = text::Tokenizer::from_file(kGoldens / "tokenizer.json");
  return one;
}

models::Decoder& model_of(const std::string& family) {
  static std::map<std::string, std::shared_ptr<models::Decoder>> models;
  auto& model = models[family];
  if (!model) model = tiny_model(family);
  return *model;
}

Request request_of(const Json& one) {
  const Json defaults = generation_defaults(tiny_folder(one["model"]));
  return {one["prompt"].get<std::vector<int32_t>>(),
          parse_generation(one["config"], defaults, one["config"].dump())};
}

void expect_golden(const Json& one, const Answer& answer) {
  SCOPED_TRACE(one.dump());
  ASSERT_EQ(answer.sequences.size(), one["tokens"].size());
  for (size_t i = 0; i < answer.sequences.size(); ++i) {
    const Sequence& sequence = answer.sequences[i];
    EXPECT_EQ(sequence.tokens, one["tokens"][i].get<std::vector<int32_t>>());
    if (one.contains("scores")) {
      const double want = one["scores"][i].get<double>();
      EXPECT_NEAR(sequence.score, want, 1e-4 + 1e-5 * std::abs(want));
    }
    if (!one.contains("text")) continue;
    EXPECT_EQ(sequence.text, one["text"].get<std::string>());
    EXPECT_EQ(sequence.stop_string.has_value(), one["stopped"].get<bool>());
  }
}

class Generation : public testing::TestWithParam<size_t> {};
INSTANTIATE_TEST_SUITE_P(Transformers, Generation, testing::Range<size_t>(0, golden()["cases"].size()),
                         [](const auto& info) {
                           const Json& one = golden()["cases"][info.param];
                           const Json& subject = one["subject"];
                           return fmt::format("{}_{}_{}", info.param, one["model"].get<std::string>(),
                                              subject.is_null() ? "all" : subject.get<std::string>());
                         });

TEST_P(Generation, IsTokenForTokenTheSame) {
  const Json& one = golden()["cases"][GetParam()];
  const GenerateOptions options{.tokenizer = one.contains("text") ? &tokenizer() : nullptr};
  expect_golden(one, generate(model_of(one["model"]), {request_of(one)}, options)[0]);
}

TEST(GenerationGoldens, CoverEveryOption) {
  EXPECT_GE(golden()["cases"].size(), 60u);
  std::map<std::string, int> subjects;
  for (const Json& one : golden()["cases"])
    if (!one["subject"].is_null()) ++subjects[one["subject"]];
  for (const char* key : {"temperature",
                          "top_k",
                          "top_p",
                          "top_h",
                          "min_p",
                          "typical_p",
                          "epsilon_cutoff",
                          "eta_cutoff",
                          "repetition_penalty",
                          "encoder_repetition_penalty",
                          "no_repeat_ngram_size",
                          "encoder_no_repeat_ngram_size",
                          "bad_words_ids",
                          "sequence_bias",
                          "suppress_tokens",
                          "begin_suppress_tokens",
                          "forced_bos_token_id",
                          "forced_eos_token_id",
                          "renormalize_logits",
                          "exponential_decay_length_penalty",
                          "min_length",
                          "min_new_tokens",
                          "max_length",
                          "max_new_tokens",
                          "eos_token_id",
                          "num_beams",
                          "length_penalty",
                          "early_stopping",
                          "num_return_sequences",
                          "seed",
                          "stop_strings"})
    EXPECT_GE(subjects[key], 1) << key;
}

// All cases of a model in one batch: ragged prompts, beams beside draws beside the likeliest.
TEST(GenerationGoldens, ComeOutTheSameInOneBatchOfAllKinds) {
  for (const char* family : {"llama", "gpt2", "mistral", "bloom"}) {
    std::vector<Request> requests;
    std::vector<const Json*> cases;
    for (const Json& one : golden()["cases"]) {
      if (one["model"] != family) continue;
      requests.push_back(request_of(one));
      cases.push_back(&one);
    }
    for (const bool backwards : {false, true}) {
      if (backwards) {
        std::reverse(requests.begin(), requests.end());
        std::reverse(cases.begin(), cases.end());
      }
      const auto answers = generate(model_of(family), requests, {.tokenizer = &tokenizer()});
      for (size_t i = 0; i < cases.size(); ++i) expect_golden(*cases[i], answers[i]);
    }
  }
}

TEST(GenerationGoldens, LogProbabilitiesAreTheModels) {
  for (const Json& one : golden()["logprobs"]) {
    const Answer answer = generate(model_of(one["model"]), {request_of(one)})[0];
    const auto& steps = answer.sequences[0].logprobs;
    ASSERT_EQ(steps.size(), one["steps"].size());
    for (size_t i = 0; i < steps.size(); ++i) {
      const Json& want = one["steps"][i];
      EXPECT_EQ(steps[i].token, want["token"].get<int32_t>());
      EXPECT_NEAR(steps[i].logprob, want["logprob"].get<double>(), 1e-4);
      ASSERT_EQ(steps[i].top.size(), want["top"].size());
      for (size_t k = 0; k < steps[i].top.size(); ++k) {
        EXPECT_EQ(steps[i].top[k].first, want["top"][k][0].get<int32_t>());
        EXPECT_NEAR(steps[i].top[k].second, want["top"][k][1].get<double>(), 1e-4);
      }
    }
    const auto prompt = one["prompt"].get<std::vector<int32_t>>();
    ASSERT_EQ(answer.prompt_logprobs.size(), prompt.size() - 1);
    for (size_t t = 0; t + 1 < prompt.size(); ++t) {
      EXPECT_EQ(answer.prompt_logprobs[t].token, prompt[t + 1]);
      EXPECT_EQ(answer.prompt_logprobs[t].top.size(), 3u);
      EXPECT_NEAR(answer.prompt_logprobs[t].logprob, one["prompt_logprobs"][t].get<double>(), 1e-4);
    }
    EXPECT_TRUE(std::equal(prompt.begin(), prompt.end(), answer.sequences[0].tokens.begin())) << "the echo";
  }
}

}  // namespace
}  // namespace deepspeed::inference
