// Answers as JSON, under the names that transformers' pipelines give them, and as tables for people.
#pragma once

#include <string>
#include <vector>

#include "deepspeed/config/json.h"
#include "deepspeed/inference/answer.h"
#include "deepspeed/inference/tasks/fill_mask.h"
#include "deepspeed/inference/tasks/question_answering.h"
#include "deepspeed/inference/tasks/text_classification.h"
#include "deepspeed/inference/tasks/token_classification.h"

namespace deepspeed::inference {

/// One list for a text with one mask, else a list a mask.
config::Json to_json(const std::vector<std::vector<FilledToken>>& masks);
config::Json to_json(const std::vector<LabelScore>& labels);
config::Json to_json(const std::vector<Entity>& entities);
config::Json to_json(const std::vector<FoundAnswer>& answers);
/// A list of sequences: "generated_text", "finish_reason", "generated_tokens", and "logprobs" where there are
/// some.
config::Json to_json(const Answer& answer);

/// Columns under a line of names, numbers to the right; control characters become spaces.
class TextTable {
 public:
  explicit TextTable(std::vector<std::string> names) : rows_{std::move(names)} {}
  void add(std::vector<std::string> row) { rows_.push_back(std::move(row)); }
  std::string text() const;

 private:
  std::vector<std::vector<std::string>> rows_;
};

std::string to_table(const std::vector<std::vector<FilledToken>>& masks);
std::string to_table(const std::vector<LabelScore>& labels);
std::string to_table(const std::vector<Entity>& entities);
std::string to_table(const std::vector<FoundAnswer>& answers);

/// "stop", "length", "cancelled".
const char* finish_name(FinishReason reason);

}  // namespace deepspeed::inference
