#include "deepspeed/inference/infer_encoders.h"

#include <ATen/ATen.h>

#include "deepspeed/base/error.h"
#include "deepspeed/inference/infer_inputs.h"
#include "deepspeed/inference/results.h"

namespace deepspeed::inference {
namespace {

using config::Json;

// {"input": ..., "output": ...} on one line, or a table under the input.
void show(const InferOptions& options, const Json& input, const Json& output, const std::string& table) {
  if (options.json)
    print(Json{{"input", input}, {"output", output}}.dump(-1, ' ', false, Json::error_handler_t::replace) +
          "\n");
  else
    print((input.is_string() ? input.get<std::string>() : input.dump()) + "\n" + table + "\n");
}

Json numbers(const at::Tensor& tensor) {
  Json out = Json::array();
  if (tensor.dim() == 1) {
    for (int64_t i = 0; i < tensor.size(0); ++i) out.push_back(tensor[i].item<float>());
  } else {
    for (int64_t i = 0; i < tensor.size(0); ++i) out.push_back(numbers(tensor[i]));
  }
  return out;
}

std::string few_numbers(const at::Tensor& vector) {
  constexpr int64_t kShown = 6;
  std::string out;
  for (int64_t i = 0; i < std::min(kShown, vector.size(0)); ++i)
    out += fmt::format("{}{:.4f}", i > 0 ? " " : "", vector[i].item<float>());
  return out + (vector.size(0) > kShown ? fmt::format(" ... ({})", vector.size(0)) : "");
}

TextClassification::Options classification_options(const InferOptions& o) {
  return {.top_k = o.top_k.value_or(1),
          .function = parse_score_function(o.score_function),
          .batch_size = o.batch_size};
}

TokenClassification::Options token_options(const InferOptions& o) {
  return {.aggregation = parse_aggregation(o.aggregation), .ignored = o.ignored_labels, .stride = o.stride};
}

QuestionAnswering::Options question_options(const InferOptions& o) {
  return {.top_k = o.top_k.value_or(1),
          .max_seq_len = o.max_seq_length,
          .doc_stride = o.doc_stride,
          .max_answer_len = o.max_answer_length.value_or(15),
          .handle_impossible_answer = o.handle_impossible_answer,
          .align_to_words = o.align_to_words};
}

std::optional<SentenceConfig> sentence_config(const InferenceEngine& engine, const InferOptions& options) {
  std::optional<SentenceConfig> config;
  if (options.pooling == "auto") {
    config = read_sentence_config(engine.source().path);
    if (!config && engine.source().pooling)
      config = SentenceConfig{.pooling = {parse_pooling(*engine.source().pooling)}};
  } else if (options.pooling != "none") {
    config.emplace();
    config->pooling = {parse_pooling(options.pooling)};
  }
  DS_CHECK(config || !options.normalize.value_or(false),
           "--normalize needs --pooling: there is no vector a text");
  if (config && options.normalize) config->normalize = *options.normalize;
  if (config && options.max_seq_length) config->max_seq_length = options.max_seq_length;
  return config;
}

void fill_masks(InferenceEngine& engine, const InferOptions& options) {
  const FillMask fill = engine.fill_mask();
  for (const std::string& text : read_inputs(options)) {
    const auto masks = fill(text, {.top_k = options.top_k.value_or(5), .targets = options.targets});
    show(options, text, to_json(masks), to_table(masks));
  }
}

void classify_texts(InferenceEngine& engine, const InferOptions& options) {
  const std::vector<std::string> texts = read_inputs(options);
  DS_CHECK(options.text_pairs.empty() || options.text_pairs.size() == texts.size(),
           "{} texts and {} of --text-pair: give one a text", texts.size(), options.text_pairs.size());
  std::vector<TextClassification::Input> inputs;
  for (const std::string& text : texts) inputs.push_back({text});
  for (size_t i = 0; i < options.text_pairs.size(); ++i) inputs[i].pair = options.text_pairs[i];
  const auto answers = engine.text_classification()(inputs, classification_options(options));
  for (size_t i = 0; i < texts.size(); ++i)
    show(options, inputs[i].pair ? Json{{"text", texts[i]}, {"text_pair", *inputs[i].pair}} : Json(texts[i]),
         to_json(answers[i]), to_table(answers[i]));
}

void classify_tokens(InferenceEngine& engine, const InferOptions& options) {
  const TokenClassification classify = engine.token_classification();
  for (const std::string& text : read_inputs(options)) {
    const auto entities = classify(text, token_options(options));
    show(options, text, to_json(entities), to_table(entities));
  }
}

// Lines of {"question", "context"} in the file; or --question about --context, a text, or standard input.
std::vector<std::pair<std::string, std::string>> read_questions(const InferOptions& options) {
  std::vector<std::pair<std::string, std::string>> out;
  if (options.questions.empty()) {
    DS_CHECK(!options.file.empty(),
             "give --question, or a --file of lines {{\"question\": ..., \"context\": ...}}");
    for (const std::string& line : read_inputs(options)) {
      const Json json = Json::parse(line, nullptr, false);
      const bool whole = json.is_object() && json.contains("question") && json.contains("context") &&
                         json["question"].is_string() && json["context"].is_string();
      DS_CHECK(whole, "'{}': line {} is not {{\"question\": text, \"context\": text}}", options.file.string(),
               out.size() + 1);
      out.emplace_back(json["question"], json["context"]);
    }
    return out;
  }
  std::vector<std::string> contexts =
      options.context.empty() ? read_inputs(options) : std::vector{options.context};
  for (const std::string& question : options.questions)
    for (const std::string& context : contexts) out.emplace_back(question, context);
  return out;
}

void answer_questions(InferenceEngine& engine, const InferOptions& options) {
  const QuestionAnswering answer = engine.question_answering();
  for (const auto& [question, context] : read_questions(options)) {
    const auto answers = answer(question, context, question_options(options));
    show(options, options.json ? Json{{"question", question}, {"context", context}} : Json(question),
         to_json(answers), to_table(answers));
  }
}

void extract_features(InferenceEngine& engine, const InferOptions& options) {
  const FeatureExtraction extract = engine.feature_extraction();
  const std::vector<std::string> texts = read_inputs(options);
  const auto config = sentence_config(engine, options);
  const at::Tensor vectors = config ? extract.sentences(texts, *config, options.batch_size) : at::Tensor();
  for (size_t i = 0; i < texts.size(); ++i) {
    const at::Tensor own = config ? vectors[static_cast<int64_t>(i)] : extract.tokens(texts[i]);
    std::string table;
    if (!options.json && config) {
      table = few_numbers(own) + "\n";
      if (texts.size() > 1)
        table += fmt::format("cosine to the first: {:.4f}\n",
                             (own.dot(vectors[0]) / (own.norm() * vectors[0].norm())).item<double>());
    } else if (!options.json) {
      for (int64_t t = 0; t < own.size(0); ++t) table += few_numbers(own[t]) + "\n";
    }
    show(options, texts[i], options.json ? numbers(own) : Json(), table);
  }
}

}  // namespace

void infer_with_encoder(InferenceEngine& engine, const InferOptions& options) {
  switch (engine.task()) {
    case Task::kFillMask:
      return fill_masks(engine, options);
    case Task::kTextClassification:
      return classify_texts(engine, options);
    case Task::kTokenClassification:
      return classify_tokens(engine, options);
    case Task::kQuestionAnswering:
      return answer_questions(engine, options);
    case Task::kFeatureExtraction:
      return extract_features(engine, options);
    case Task::kTextGeneration:
    case Task::kText2TextGeneration:
      break;
  }
  base::fail("{} is no task of an encoder", task_name(engine.task()));
}

void answer_with_encoder(InferenceEngine& engine, const InferOptions& options,
                         const std::vector<std::string>& texts) {
  switch (engine.task()) {
    case Task::kFillMask:
      for (const std::string& text : texts) engine.fill_mask()(text, {});
      return;
    case Task::kTextClassification: {
      std::vector<TextClassification::Input> inputs;
      for (const std::string& text : texts) inputs.push_back({text});
      engine.text_classification()(inputs, classification_options(options));
      return;
    }
    case Task::kTokenClassification:
      for (const std::string& text : texts) engine.token_classification()(text, token_options(options));
      return;
    case Task::kQuestionAnswering:
      for (const std::string& text : texts)
        engine.question_answering()(options.questions.at(0), text, question_options(options));
      return;
    case Task::kFeatureExtraction:
      engine.feature_extraction().sentences(
          texts, sentence_config(engine, options).value_or(SentenceConfig{.pooling = {Pooling::kMean}}),
          options.batch_size);
      return;
    case Task::kTextGeneration:
    case Task::kText2TextGeneration:
      break;
  }
}

}  // namespace deepspeed::inference
