// What a model is asked to do, by the names of transformers' pipelines. Torch-free.
#pragma once

#include <string>
#include <vector>

#include "deepspeed/config/json.h"

namespace deepspeed::inference {

enum class Task {
  kTextGeneration,
  kText2TextGeneration,  // by a model that reads the text with an encoder
  kFillMask,
  kTextClassification,
  kTokenClassification,
  kQuestionAnswering,
  kFeatureExtraction
};

/// "text-generation", ...
const char* task_name(Task task);
/// By its name or another that is in use ("ner", "sentiment-analysis", "embedding"). The Error lists all.
Task parse_task(const std::string& name);
/// All names, in the order of Task.
std::vector<std::string> task_names();
/// Whether its answers are texts that the model writes.
constexpr bool writes(Task task) {
  return task == Task::kTextGeneration || task == Task::kText2TextGeneration;
}
/// What the model was made for, by "architectures" of its config.json; `otherwise` where that is silent.
Task guess_task(const config::Json& config, Task otherwise);

}  // namespace deepspeed::inference
