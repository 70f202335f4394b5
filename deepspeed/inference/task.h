// What a model is asked to do, by the names of transformers' pipelines. Torch-free.
#pragma once

#include <string>
#include <vector>

#include "deepspeed/config/json.h"

namespace deepspeed::inference {

enum class Task {
  kTextGeneration,
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
/// What the model was made for, by "architectures" of its config.json; where that is silent, text generation
/// for decoders and feature extraction for encoders.
Task guess_task(const config::Json& config, bool bidirectional);

}  // namespace deepspeed::inference
