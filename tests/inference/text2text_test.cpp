// Models that read the prompt with an encoder: token for token and text for text what transformers generates
// (make_text2text_goldens.py beside this file), through inference::generate and init_inference.
#include <fmt/format.h>
#include <gmock/gmock.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "deepspeed/base/error.h"
#include "deepspeed/inference/engine.h"
#include "deepspeed/inference/generate.h"
#include "tests/inference/task_case.h"
#include "tests/inference/tiny_models.h"
#include "tests/support/error_of.h"

namespace deepspeed::inference {
namespace {

using config::Json;
using testing::HasSubstr;
using testing_support::error_of;

const Json& golden() {
  static const Json value = golden_cases("text2text.json");
  return value;
}

models::EncoderDecoder& model_named(const std::string& family) {
  static std::map<std::string, std::shared_ptr<models::EncoderDecoder>> models;
  auto& model = models[family];
  if (!model) model = tiny_model<models::EncoderDecoder>(family);
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
    EXPECT_EQ(answer.sequences[i].tokens, one["tokens"][i].get<std::vector<int32_t>>());
    if (!one.contains("scores")) continue;
    const double want = one["scores"][i].get<double>();
    EXPECT_NEAR(answer.sequences[i].score, want, 1e-4 + 1e-5 * std::abs(want));
  }
}

TEST(Text2Text, IsTokenForTokenTransformers) {
  ASSERT_GE(golden()["cases"].size(), 20u);
  for (const Json& one : golden()["cases"])
    expect_golden(one, generate(model_named(one["model"]), {request_of(one)})[0]);
}

// Prompts of all lengths, beams beside draws beside the likeliest, in both orders.
TEST(Text2Text, ComesOutTheSameInOneBatchOfAllKinds) {
  for (const char* family : {"t5", "t5_gated"}) {
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
      const auto answers = generate(model_named(family), requests);
      for (size_t i = 0; i < cases.size(); ++i) expect_golden(*cases[i], answers[i]);
    }
  }
}

TEST(Text2Text, BadRequestsAreOneLine) {
  auto& model = model_named("t5");
  const auto refused = [&](std::vector<int32_t> prompt, const Json& options) {
    return error_of([&] { generate(model, {{std::move(prompt), parse_generation(options)}}); });
  };
  EXPECT_THAT(refused({1, 2}, {{"echo", true}}), HasSubstr("does not contain its prompt"));
  EXPECT_THAT(refused({}, Json::object()), HasSubstr("a prompt of at least one token"));
  EXPECT_THAT(refused({1, 67}, Json::object()), HasSubstr("prompt token 67 is not in the vocabulary of 67"));
  EXPECT_THAT(refused({1}, {{"decoder_start_token_id", 70}}), HasSubstr("decoder_start_token_id: token 70"));
}

class Text2TextEngine : public testing::Test {
 protected:
  static std::unique_ptr<InferenceEngine> engine(const Json& config) {
    return init_inference((inference_goldens() / "models/t5-texts").string(), config.dump());
  }
  static std::vector<std::string> texts_of(InferenceEngine& engine, const Json& one) {
    std::vector<std::string> texts;
    const std::vector<Answer> answers = engine.generate({one["input"]}, one["options"]);
    for (const Sequence& sequence : answers.at(0).sequences) texts.push_back(sequence.text);
    return texts;
  }
};

TEST_F(Text2TextEngine, AnswersTextsAsThePipelineDoes) {
  // Weights in the layout of the processor's kernels give the same.
  for (const bool packed : {false, true}) {
    const auto model = engine({{"dtype", "fp32"}, {"kernel_inject", packed}});
    EXPECT_EQ(model->task(), Task::kText2TextGeneration);
    for (const Json& one : golden()["texts"]) {
      SCOPED_TRACE(one.dump());
      std::vector<std::string> want;
      for (const Json& answer : one["output"]) want.push_back(answer["generated_text"]);
      EXPECT_EQ(texts_of(*model, one), want);
    }
  }
}

TEST_F(Text2TextEngine, EveryTypeOfWeightsAnswers) {
  const Json one = golden()["texts"][0];
  for (const char* dtype : {"fp16", "bf16", "int8"}) {
    for (const bool inject : {false, true}) {
      const auto model = engine({{"dtype", dtype}, {"kernel_inject", inject}});
      EXPECT_FALSE(texts_of(*model, one).at(0).empty()) << dtype;
    }
  }
}

TEST_F(Text2TextEngine, PromptAndAnswerHaveMaxOutTokensEach) {
  const auto model = engine({{"dtype", "fp32"}, {"max_out_tokens", 9}});
  const auto answers = model->generate_tokens({{5, 6, 7, 8, 9, 10, 11, 12, 13}}, {{"max_new_tokens", 30}});
  EXPECT_EQ(answers[0].sequences[0].tokens.size(), 8u) << "after the token that it starts with";
  EXPECT_THAT(error_of([&] { model->generate_tokens({std::vector<int32_t>(10, 5)}); }),
              HasSubstr("a prompt of 10 tokens is longer than max_out_tokens, which is 9"));
}

TEST_F(Text2TextEngine, OtherTasksAreRefused) {
  const std::string folder = (inference_goldens() / "models/t5-texts").string();
  const auto with = [&](Task task) {
    return error_of([&] { init_inference(folder, R"({"dtype": "fp32"})", Json::object(), task); });
  };
  EXPECT_EQ(with(Task::kTextGeneration), "a t5 is an encoder with a decoder: it cannot do text-generation");
  EXPECT_EQ(with(Task::kFillMask), "a t5 is an encoder with a decoder: it cannot do fill-mask");
  EXPECT_THAT(error_of([] {
                init_inference(tiny_folder("gpt2").string(), R"({"dtype": "fp32"})", Json::object(),
                               Task::kText2TextGeneration);
              }),
              HasSubstr("a gpt2 is a decoder: it cannot do text2text-generation"));
}

}  // namespace
}  // namespace deepspeed::inference
