// Where a text answers a question, as transformers' question-answering pipeline finds it (version 4; version
// 5 has none).
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "deepspeed/inference/model_source.h"
#include "deepspeed/models/encoder_heads.h"

namespace deepspeed::inference {

struct FoundAnswer {
  double score = 0;
  size_t start = 0, end = 0;  // in code points of the context
  std::string answer;
};

class QuestionAnswering {
 public:
  struct Options {
    size_t top_k = 1;
    std::optional<size_t> max_seq_len;  // tokens of question and a part of the context; nothing: up to 384
    std::optional<size_t> doc_stride;   // that neighbouring parts share; nothing: up to 128
    size_t max_answer_len = 15;         // tokens
    bool handle_impossible_answer = false, align_to_words = true;
  };
  /// `source` has a tokenizer and outlives this object.
  QuestionAnswering(std::shared_ptr<models::QuestionAnswerer> model, const ModelSource& source);
  /// The best answers; one of no text, where impossible ones are handled, says that there is none. Errors:
  /// texts that are empty, questions that leave no room for the context.
  std::vector<FoundAnswer> operator()(const std::string& question, const std::string& context,
                                      const Options& options) const;

 private:
  struct Span {
    size_t start, end;  // tokens
    float score;
  };
  std::vector<text::Encoding> parts_of(const std::string& question, const std::string& context,
                                       const Options& options) const;
  /// Which of the part's tokens may be in an answer.
  std::vector<bool> possible(const text::Encoding& part) const;
  std::vector<Span> spans_of(const text::Encoding& part, const Options& options, double& none_score) const;

  std::shared_ptr<models::QuestionAnswerer> model_;
  const ModelSource& source_;
  std::optional<int32_t> first_token_;
};

}  // namespace deepspeed::inference
