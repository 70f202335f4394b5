#include "deepspeed/inference/task.h"

#include <fmt/ranges.h>

#include <array>
#include <utility>

#include "deepspeed/base/error.h"
#include "deepspeed/config/convert.h"

namespace deepspeed::inference {
namespace {

constexpr std::array<const char*, 7> kNames = {
    "text-generation",      "text2text-generation", "fill-mask",         "text-classification",
    "token-classification", "question-answering",   "feature-extraction"};
constexpr std::pair<const char*, Task> kOthers[] = {{"ner", Task::kTokenClassification},
                                                    {"sentiment-analysis", Task::kTextClassification},
                                                    {"embedding", Task::kFeatureExtraction},
                                                    {"sentence-similarity", Task::kFeatureExtraction}};
constexpr std::pair<const char*, Task> kEndings[] = {{"ForCausalLM", Task::kTextGeneration},
                                                     {"LMHeadModel", Task::kTextGeneration},
                                                     {"ForConditionalGeneration", Task::kText2TextGeneration},
                                                     {"ForMaskedLM", Task::kFillMask},
                                                     {"ForPreTraining", Task::kFillMask},
                                                     {"ForSequenceClassification", Task::kTextClassification},
                                                     {"ForTokenClassification", Task::kTokenClassification},
                                                     {"ForQuestionAnswering", Task::kQuestionAnswering}};

}  // namespace

const char* task_name(Task task) { return kNames[static_cast<size_t>(task)]; }

std::vector<std::string> task_names() { return {kNames.begin(), kNames.end()}; }

Task parse_task(const std::string& name) {
  for (size_t i = 0; i < kNames.size(); ++i)
    if (name == kNames[i]) return static_cast<Task>(i);
  for (const auto& [other, task] : kOthers)
    if (name == other) return task;
  const auto near = config::nearest_name(name, task_names());
  base::fail("no task '{}'{}: there are {}", name, near ? fmt::format("; did you mean '{}'?", *near) : "",
             fmt::join(kNames, ", "));
}

Task guess_task(const config::Json& config, Task otherwise) {
  if (config.contains("architectures") && config["architectures"].is_array())
    for (const auto& name : config["architectures"])
      for (const auto& [ending, task] : kEndings)
        if (name.is_string() && name.get<std::string>().ends_with(ending)) return task;
  return otherwise;
}

}  // namespace deepspeed::inference
