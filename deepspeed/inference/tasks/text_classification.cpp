#include "deepspeed/inference/tasks/text_classification.h"

#include <torch/csrc/autograd/grad_mode.h>

#include <algorithm>
#include <cmath>

#include "deepspeed/base/error.h"
#include "deepspeed/inference/tasks/encoder_batch.h"
#include "deepspeed/nn/materializer.h"

namespace deepspeed::inference {
namespace {

std::vector<float> apply(ScoreFunction function, std::span<const float> scores) {
  if (function == ScoreFunction::kSoftmax) return softmax(scores);
  std::vector<float> out(scores.begin(), scores.end());
  if (function == ScoreFunction::kSigmoid)
    for (float& score : out) score = 1 / (1 + std::exp(-score));
  return out;
}

}  // namespace

ScoreFunction parse_score_function(const std::string& name) {
  if (name == "default") return ScoreFunction::kDefault;
  if (name == "none") return ScoreFunction::kNone;
  if (name == "sigmoid") return ScoreFunction::kSigmoid;
  if (name == "softmax") return ScoreFunction::kSoftmax;
  base::fail("no function of scores '{}': there are default, none, sigmoid, softmax", name);
}

ScoreFunction TextClassification::function_of(ScoreFunction wanted) const {
  if (wanted != ScoreFunction::kDefault) return wanted;
  if (source_.config.value("problem_type", config::Json()) == "regression") return ScoreFunction::kNone;
  return model_->spec().labels == 1 ? ScoreFunction::kSigmoid : ScoreFunction::kSoftmax;
}

std::vector<std::vector<LabelScore>> TextClassification::operator()(const std::vector<Input>& inputs,
                                                                    const Options& options) const {
  const at::NoGradGuard no_grad;
  DS_CHECK(options.top_k > 0, "top_k must be at least 1");
  const ScoreFunction function = function_of(options.function);
  const models::ArchSpec& spec = model_->spec();
  std::vector<text::Encoding> encodings;
  for (const Input& input : inputs)
    encodings.push_back(input.pair ? source_.tokenizer->encode_pair(input.text, *input.pair)
                                   : source_.tokenizer->encode(input.text));
  std::vector<std::vector<LabelScore>> out;
  for (size_t begin = 0; begin < encodings.size(); begin += options.batch_size) {
    std::vector<const text::Encoding*> rows;
    for (size_t i = begin; i < std::min(begin + options.batch_size, encodings.size()); ++i)
      rows.push_back(&encodings[i]);
    const at::Tensor logits = to_host(model_->logits(encoder_batch(rows, spec, nn::device_of(*model_))));
    const auto labels = static_cast<size_t>(spec.labels);
    for (size_t r = 0; r < rows.size(); ++r) {
      const std::vector<float> scores =
          apply(function, {logits.const_data_ptr<float>() + r * labels, labels});
      std::vector<LabelScore> row;
      for (size_t i = 0; i < labels; ++i) row.push_back({label_name(spec, i), scores[i]});
      std::stable_sort(row.begin(), row.end(),
                       [](const LabelScore& a, const LabelScore& b) { return a.score > b.score; });
      row.resize(std::min(row.size(), options.top_k));
      out.push_back(std::move(row));
    }
  }
  return out;
}

}  // namespace deepspeed::inference
