// The class of a text, as transformers' text-classification pipeline finds it.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "deepspeed/inference/model_source.h"
#include "deepspeed/models/encoder_heads.h"

namespace deepspeed::inference {

struct LabelScore {
  std::string label;
  double score = 0;
};

/// What becomes of the scores; kDefault: as the model was trained, nothing for a regression, a sigmoid for
/// one class, a softmax for more.
enum class ScoreFunction { kDefault, kNone, kSigmoid, kSoftmax };
/// "default", "none", "sigmoid", "softmax". The Error lists them.
ScoreFunction parse_score_function(const std::string& name);

class TextClassification {
 public:
  struct Input {
    std::string text;
    std::optional<std::string> pair = std::nullopt;  // a second text
  };
  struct Options {
    size_t top_k = 1;  // classes, the likeliest first
    ScoreFunction function = ScoreFunction::kDefault;
    size_t batch_size = 8;
  };
  /// `source` has a tokenizer and outlives this object.
  TextClassification(std::shared_ptr<models::SequenceClassifier> model, const ModelSource& source)
      : model_(std::move(model)), source_(source) {}
  /// Of each text, in their order.
  std::vector<std::vector<LabelScore>> operator()(const std::vector<Input>& inputs,
                                                  const Options& options) const;

 private:
  ScoreFunction function_of(ScoreFunction wanted) const;

  std::shared_ptr<models::SequenceClassifier> model_;
  const ModelSource& source_;
};

}  // namespace deepspeed::inference
