// deepspeed::init_inference: from a model's name and a configuration to an engine that answers.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "deepspeed/comm/group.h"
#include "deepspeed/inference/answer.h"
#include "deepspeed/inference/config.h"
#include "deepspeed/inference/model_source.h"
#include "deepspeed/inference/streamed_model.h"
#include "deepspeed/inference/task.h"
#include "deepspeed/inference/tasks/feature_extraction.h"
#include "deepspeed/inference/tasks/fill_mask.h"
#include "deepspeed/inference/tasks/question_answering.h"
#include "deepspeed/inference/tasks/text_classification.h"
#include "deepspeed/inference/tasks/token_classification.h"
#include "deepspeed/models/decoder.h"
#include "deepspeed/models/encoder_decoder.h"

namespace deepspeed::inference {

/// One model, ready for one task. Not for several threads at once.
class InferenceEngine {
 public:
  /// `group`: the ranks that share the model (tensor_parallel), each of which makes an engine of the same and
  /// calls the same of it with the same; null: this one alone. The model is held and computed with on
  /// `device`.
  InferenceEngine(ModelSource source, InferenceConfig config, Task task, comm::GroupPtr group = nullptr,
                  at::Device device = at::kCPU);

  Task task() const { return task_; }
  const InferenceConfig& config() const { return config_; }
  const ModelSource& source() const { return source_; }
  const models::ArchSpec& spec() const { return source_.spec; }
  torch::nn::Module& module() { return *module_; }
  /// Where the model is; what its own functions are given must be there, too.
  at::Device device() const { return device_; }
  /// Null for an engine of one rank.
  const comm::GroupPtr& group() const { return group_; }
  /// Error where the model has none.
  const text::Tokenizer& tokenizer() const;
  /// Of the whole model, and the bytes that this rank's share of it takes as it is held.
  int64_t parameters() const { return parameters_; }
  int64_t parameter_bytes() const { return bytes_; }
  /// Null where all weights are in memory.
  const StreamedModel* streamed() const { return streamed_.get(); }

  /// The prompts' continuations, or answers by a model with an encoder, under `options`, keys of
  /// generation_config.json over the model's own. Errors as inference::generate, and for prompts that leave
  /// no room within config().max_out_tokens. The listener hears of request i of prompts[i].
  std::vector<Answer> generate(const std::vector<std::string>& prompts,
                               const config::Json& options = config::Json::object(), Listener listener = {});
  /// The same of token ids, which needs no tokenizer.
  std::vector<Answer> generate_tokens(const std::vector<std::vector<int32_t>>& prompts,
                                      const config::Json& options = config::Json::object(),
                                      Listener listener = {});
  /// What the model is shown of a conversation, a JSON array of {"role", "content"}: by its chat template.
  std::string chat_prompt(const config::Json& messages) const;
  /// The next message of the conversation.
  Answer chat(const config::Json& messages, const config::Json& options = config::Json::object(),
              Listener listener = {});

  /// Errors where the engine was made for another task.
  models::Decoder& decoder();
  models::EncoderDecoder& encoder_decoder();
  FillMask fill_mask();
  TextClassification text_classification();
  TokenClassification token_classification();
  QuestionAnswering question_answering();
  FeatureExtraction feature_extraction();

 private:
  template <class Model>
  std::shared_ptr<Model> model_for(Task task) const;
  std::vector<Answer> answer(const std::vector<std::vector<int32_t>>& prompts, const config::Json& options,
                             Listener listener);

  ModelSource source_;
  InferenceConfig config_;
  Task task_;
  comm::GroupPtr group_;
  std::shared_ptr<torch::nn::Module> module_;
  std::unique_ptr<StreamedModel> streamed_;
  at::Device device_;
  int64_t parameters_ = 0, bytes_ = 0;
};

/// What a model of the architecture does where nothing else is said: text generation, by an encoder feature
/// extraction.
Task usual_task(const models::ArchSpec& spec);

/// The ranks that tensor_parallel.tp_size asks for, by the launcher's environment; null for one. Error where
/// another number was started. Collective over them.
comm::GroupPtr inference_group(const InferenceConfig& config);

/// The device of the one rank or of the group's: by DS_ACCELERATOR (accel::device_of_rank).
at::Device inference_device(const comm::GroupPtr& group);

/// `model`: a folder, a file of weights (.gguf), or ORG/NAME in the Hugging Face cache. `config` and
/// `arguments` as parse_inference_config takes them; `task`: nothing for what the model was made for. With
/// tensor_parallel.tp_size above 1 every rank that the launcher has started calls it.
std::unique_ptr<InferenceEngine> init_inference(const std::string& model, std::string_view config = "",
                                                const config::Json& arguments = config::Json::object(),
                                                std::optional<Task> task = std::nullopt);

}  // namespace deepspeed::inference

namespace deepspeed {
using inference::default_inference_config;
using inference::init_inference;
}  // namespace deepspeed
