// Masked tokens of a text, as transformers' fill-mask pipeline finds them.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "deepspeed/inference/model_source.h"
#include "deepspeed/models/encoder_heads.h"

namespace deepspeed::inference {

struct FilledToken {
  double score = 0;
  int32_t token = 0;
  std::string text;      // of the token
  std::string sequence;  // the text with it in the mask's place; other masks stay
};

class FillMask {
 public:
  struct Options {
    size_t top_k = 5;
    std::vector<std::string> targets;  // only these tokens; of a word of several its first
  };
  /// `source` has a tokenizer and outlives this object. Error where it knows no mask token.
  FillMask(std::shared_ptr<models::MaskedLanguageModel> model, const ModelSource& source);
  /// For each mask of the text the likeliest tokens. Error for a text without a mask.
  std::vector<std::vector<FilledToken>> operator()(const std::string& text, const Options& options) const;
  /// "[MASK]".
  const std::string& mask() const { return mask_text_; }

 private:
  std::vector<int32_t> target_ids(const std::vector<std::string>& targets) const;

  std::shared_ptr<models::MaskedLanguageModel> model_;
  const ModelSource& source_;
  int32_t mask_ = 0;
  std::string mask_text_;
};

}  // namespace deepspeed::inference
