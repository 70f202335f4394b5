// Every task of encoders against transformers' pipelines (make_task_goldens.py).
#include <ATen/ATen.h>

#include <map>

#include "deepspeed/base/error.h"
#include "deepspeed/inference/engine.h"
#include "deepspeed/inference/results.h"
#include "task_case.h"
#include "tests/support/error_of.h"

namespace deepspeed::inference {
namespace {

using config::Json;
using ::testing::HasSubstr;
using testing_support::error_of;

constexpr const char* kFp32 = R"({"dtype": "fp32"})";

InferenceEngine& engine_of(const Json& one) {
  static std::map<std::string, std::unique_ptr<InferenceEngine>> engines;
  auto& engine = engines[one["model"].get<std::string>()];
  if (!engine) engine = init_inference(model_of(one).string(), kFp32);
  EXPECT_STREQ(task_name(engine->task()), one["task"].get<std::string>().c_str());  // guessed
  return *engine;
}

template <class T>
std::optional<T> option(const Json& one, const char* key) {
  return one["options"].contains(key) ? std::optional(one["options"][key].get<T>()) : std::nullopt;
}

Json fill_mask(InferenceEngine& engine, const Json& one) {
  return to_json(engine.fill_mask()(
      one["input"],
      {.top_k = option<size_t>(one, "top_k").value_or(5),
       .targets = option<std::vector<std::string>>(one, "targets").value_or(std::vector<std::string>{})}));
}

Json classify_text(InferenceEngine& engine, const Json& one) {
  TextClassification::Input input;
  if (one["input"].is_string())
    input.text = one["input"];
  else
    input = {one["input"]["text"], one["input"]["text_pair"].get<std::string>()};
  const auto function = option<std::string>(one, "function_to_apply").value_or("default");
  return to_json(engine.text_classification()({input}, {.top_k = option<size_t>(one, "top_k").value_or(1),
                                                        .function = parse_score_function(function)})[0]);
}

Json classify_tokens(InferenceEngine& engine, const Json& one) {
  TokenClassification::Options options;
  options.aggregation = parse_aggregation(option<std::string>(one, "aggregation_strategy").value_or("none"));
  if (const auto ignored = option<std::vector<std::string>>(one, "ignore_labels")) options.ignored = *ignored;
  options.stride = option<size_t>(one, "stride");
  return to_json(engine.token_classification()(one["input"], options));
}

Json find_answer(InferenceEngine& engine, const Json& one) {
  return to_json(engine.question_answering()(
      one["input"]["question"], one["input"]["context"],
      {.top_k = option<size_t>(one, "top_k").value_or(1),
       .max_seq_len = option<size_t>(one, "max_seq_len"),
       .doc_stride = option<size_t>(one, "doc_stride"),
       .max_answer_len = option<size_t>(one, "max_answer_len").value_or(15),
       .handle_impossible_answer = option<bool>(one, "handle_impossible_answer").value_or(false),
       .align_to_words = option<bool>(one, "align_to_words").value_or(true)}));
}

Json numbers(const at::Tensor& tensor) {
  Json out = Json::array();
  for (int64_t i = 0; i < tensor.size(0); ++i)
    out.push_back(tensor.dim() > 1 ? numbers(tensor[i]) : Json(tensor[i].item<float>()));
  return out;
}

Json features(InferenceEngine& engine, const Json& one) {
  const auto pooling = option<std::string>(one, "pooling");
  if (pooling == "none") return Json::array({numbers(engine.feature_extraction().tokens(one["input"]))});
  const SentenceConfig config = pooling
                                    ? SentenceConfig{.pooling = {parse_pooling(*pooling)},
                                                     .max_seq_length = option<size_t>(one, "max_seq_length")}
                                    : *read_sentence_config(engine.source().path);
  return numbers(engine.feature_extraction().sentences({one["input"]}, config)[0]);
}

void check_all(const std::string& file, const std::string& task,
               Json (*answer)(InferenceEngine&, const Json&)) {
  size_t count = 0;
  for (const Json& one : golden_cases(file)) {
    if (one["task"] != task) continue;
    ++count;
    expect_like(answer(engine_of(one), one), one["output"],
                one["model"].get<std::string>() + " " + one["options"].dump() + " " + one["input"].dump());
  }
  EXPECT_GT(count, 5u);
}

TEST(Tasks, FillMaskIsTransformers) { check_all("tasks.json", "fill-mask", fill_mask); }
TEST(Tasks, TextClassificationIsTransformers) {
  check_all("tasks.json", "text-classification", classify_text);
}
TEST(Tasks, TokenClassificationIsTransformers) {
  check_all("tasks.json", "token-classification", classify_tokens);
}
TEST(Tasks, FeatureExtractionIsTransformers) { check_all("tasks.json", "feature-extraction", features); }
TEST(Tasks, QuestionAnsweringIsTransformers) { check_all("answers.json", "question-answering", find_answer); }

// Files as llama.cpp's converter writes them (make_gguf_encoders.py), tokenizers included. Of what stands
// beside a folder's weights they say the pooling alone.
std::unique_ptr<InferenceEngine> gguf_engine(const std::string& model, Task task) {
  InferenceConfig config;
  config.dtype = WeightType::kFp32;
  const auto file = inference_goldens() / "gguf" / (model + ".gguf");
  return std::make_unique<InferenceEngine>(open_model(file.string(), config), config, task);
}

TEST(Tasks, EncodersInGgufFilesAnswerAsTransformers) {
  const auto classes = gguf_engine("roberta-classes", Task::kTextClassification);
  const auto vectors = gguf_engine("bert-vectors", Task::kFeatureExtraction);
  ASSERT_EQ(vectors->source().pooling, "mean");
  const SentenceConfig asked{
      .pooling = {parse_pooling(*vectors->source().pooling)}, .normalize = true, .max_seq_length = 16};
  size_t count = 0;
  for (const Json& one : golden_cases("tasks.json")) {
    const std::string where = one["model"].get<std::string>() + " " + one["input"].dump();
    if (one["model"] == "roberta-classes") {
      expect_like(classify_text(*classes, one), one["output"], where);
    } else if (one["model"] == "bert-vectors") {
      expect_like(one["options"].empty()
                      ? numbers(vectors->feature_extraction().sentences({one["input"]}, asked)[0])
                      : features(*vectors, one),
                  one["output"], where);
    } else {
      continue;
    }
    ++count;
  }
  EXPECT_EQ(count, 18u);
}

std::unique_ptr<InferenceEngine> engine(const char* model) {
  return init_inference((inference_goldens() / "models" / model).string(), kFp32);
}

// Rows of a batch are padded; a text's answer must not change for it.
TEST(Tasks, AnswersOfABatchAreThoseOfEachTextAlone) {
  const std::vector<std::string> texts = {"And God said", "Let there be light: and there was light.", "the",
                                          "Abraham"};
  const auto classes = engine("roberta-classes");
  const auto classify = classes->text_classification();
  const auto together =
      classify({{texts[0]}, {texts[1]}, {texts[2]}, {texts[3]}}, {.top_k = 3, .batch_size = 3});
  const auto vectors = engine("bert-vectors");
  const auto config = *read_sentence_config(vectors->source().path);
  const at::Tensor all = vectors->feature_extraction().sentences(texts, config, 3);
  EXPECT_NEAR(all.norm(2, 1).min().item<double>(), 1, 1e-5);
  for (size_t i = 0; i < texts.size(); ++i) {
    expect_like(to_json(together[i]), to_json(classify({{texts[i]}}, {.top_k = 3})[0]), texts[i]);
    expect_like(numbers(all[static_cast<int64_t>(i)]),
                numbers(vectors->feature_extraction().sentences({texts[i]}, config)[0]), texts[i]);
  }
}

TEST(Tasks, BadInputIsOneLine) {
  const auto masks = engine("bert-masks");
  std::string longest;
  for (int i = 0; i < 80; ++i) longest += "god ";
  EXPECT_EQ(error_of([&] { masks->fill_mask()("no mask here", {}); }),
            "there is no [MASK] in the text \"no mask here\"");
  EXPECT_EQ(error_of([&] { masks->fill_mask()(longest + "[MASK]", {}); }),
            "a text of 83 tokens is longer than the model's 64 positions");
  EXPECT_EQ(error_of([&] { masks->text_classification(); }),
            "this engine was made for fill-mask, not for text-classification");
  EXPECT_THAT(error_of([&] { masks->generate({"x"}); }),
              HasSubstr("made for fill-mask, not for text-generation"));
  const std::string folder = (inference_goldens() / "models/bert-masks").string();
  EXPECT_THAT(error_of([&] { init_inference(folder, kFp32, Json::object(), Task::kQuestionAnswering); }),
              HasSubstr("bert-masks cannot do question-answering: its weights lack qa_outputs.weight"));
  EXPECT_THAT(error_of([&] { init_inference(folder, kFp32, Json::object(), Task::kTextGeneration); }),
              HasSubstr("a bert is an encoder: it cannot do text-generation"));
  const auto answers = engine("distilbert-answers");
  EXPECT_EQ(error_of([&] { answers->question_answering()("", "x", {}); }), "the question is empty");
  EXPECT_THAT(
      error_of([&] { answers->question_answering()("why", "x", {.max_seq_len = 32, .doc_stride = 32}); }),
      HasSubstr("doc_stride is 32; it must be less than the 32 tokens"));
  EXPECT_THAT(error_of([&] { answers->question_answering()(longest, "x", {}); }), HasSubstr("truncation"));
  EXPECT_EQ(error_of([] { parse_task("fill-masks"); }),
            "no task 'fill-masks'; did you mean 'fill-mask'?: there are text-generation, "
            "text2text-generation, fill-mask, text-classification, token-classification, "
            "question-answering, feature-extraction");
}

TEST(Tasks, AreGuessedFromArchitectures) {
  const auto guess = [](const char* name) {
    return guess_task({{"architectures", {name}}}, Task::kFeatureExtraction);
  };
  EXPECT_EQ(guess("BertForPreTraining"), Task::kFillMask);
  EXPECT_EQ(guess("GPT2LMHeadModel"), Task::kTextGeneration);
  EXPECT_EQ(guess("T5ForConditionalGeneration"), Task::kText2TextGeneration);
  EXPECT_EQ(guess("BertModel"), Task::kFeatureExtraction);
  EXPECT_EQ(guess_task(Json::object(), Task::kTextGeneration), Task::kTextGeneration);
  EXPECT_EQ(parse_task("ner"), Task::kTokenClassification);
}

}  // namespace
}  // namespace deepspeed::inference
