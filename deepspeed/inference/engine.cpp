#include "deepspeed/inference/engine.h"

#include <fmt/ranges.h>

#include <algorithm>

#include "deepspeed/accel/device.h"
#include "deepspeed/accel/threads.h"
#include "deepspeed/base/error.h"
#include "deepspeed/base/log.h"
#include "deepspeed/comm/rendezvous.h"
#include "deepspeed/inference/generate.h"
#include "deepspeed/inference/prepare_model.h"
#include "deepspeed/inference/sharding_check.h"
#include "deepspeed/tensor_parallel/shard.h"

namespace deepspeed::inference {
namespace {

using config::Json;

std::shared_ptr<torch::nn::Module> build(const models::ArchSpec& spec, Task task) {
  const Task usual = usual_task(spec);
  DS_CHECK(writes(usual) ? task == usual : !writes(task), "a {} is {}: it cannot do {}", spec.model_type,
           spec.bidirectional          ? "an encoder"
           : spec.is_encoder_decoder() ? "an encoder with a decoder"
                                       : "a decoder",
           task_name(task));
  switch (task) {
    case Task::kTextGeneration:
      return std::make_shared<models::Decoder>(spec, nullptr);
    case Task::kText2TextGeneration:
      return std::make_shared<models::EncoderDecoder>(spec, nullptr);
    case Task::kFillMask:
      return std::make_shared<models::MaskedLanguageModel>(spec, nullptr);
    case Task::kTextClassification:
      return std::make_shared<models::SequenceClassifier>(spec, nullptr);
    case Task::kTokenClassification:
      return std::make_shared<models::TokenClassifier>(spec, nullptr);
    case Task::kQuestionAnswering:
      return std::make_shared<models::QuestionAnswerer>(spec, nullptr);
    case Task::kFeatureExtraction:
      break;
  }
  return std::make_shared<BareEncoder>(spec);
}

// Where angles depend on the length, rows of different lengths do not.
bool fit_together(const models::ArchSpec& spec, const std::vector<Request>& requests) {
  const models::RopeStretch stretch = spec.rope.stretch;
  if (stretch != models::RopeStretch::kDynamic && stretch != models::RopeStretch::kLongrope) return true;
  return std::all_of(requests.begin(), requests.end(),
                     [&](const Request& one) { return one.prompt.size() == requests.front().prompt.size(); });
}

}  // namespace

InferenceEngine::InferenceEngine(ModelSource source, InferenceConfig config, Task task, comm::GroupPtr group,
                                 at::Device device)
    : source_(std::move(source)),
      config_(std::move(config)),
      task_(task),
      group_(std::move(group)),
      module_(build(source_.spec, task)),
      device_(device) {
  for (const auto& parameter : module_->parameters()) parameters_ += parameter.numel();
  const auto missing = source_.weights->initialised(nn::list_parameters(*module_));
  DS_CHECK(missing.empty(), "{} cannot do {}: its weights lack {}", source_.path.string(), task_name(task),
           fmt::join(missing, ", "));
  PreparedModel prepared = prepare_model(*module_, source_, config_, group_, device);
  bytes_ = prepared.bytes;
  streamed_ = std::move(prepared.streamed);
  if (group_ && config_.tensor_parallel.check_against_one_rank)
    check_sharding(*module_, *build(source_.spec, task), source_, task, *group_);
}

const text::Tokenizer& InferenceEngine::tokenizer() const {
  DS_CHECK(source_.tokenizer != nullptr, "{} has no tokenizer (tokenizer.json)", source_.path.string());
  return *source_.tokenizer;
}

std::vector<Answer> InferenceEngine::generate(const std::vector<std::string>& prompts, const Json& options,
                                              Listener listener) {
  std::vector<std::vector<int32_t>> ids;
  for (const std::string& prompt : prompts) ids.push_back(tokenizer().encode(prompt).ids);
  return answer(ids, options, std::move(listener));
}

std::vector<Answer> InferenceEngine::generate_tokens(const std::vector<std::vector<int32_t>>& prompts,
                                                     const Json& options, Listener listener) {
  return answer(prompts, options, std::move(listener));
}

std::vector<Answer> InferenceEngine::answer(const std::vector<std::vector<int32_t>>& prompts,
                                            const Json& options, Listener listener) {
  GenerationConfig wanted = parse_generation(options, source_.generation);
  if (group_ && !wanted.seed)  // all ranks draw the same tokens
    wanted.seed = static_cast<int64_t>(tensor_parallel::agreed_seed(*group_));
  std::vector<Request> requests;
  for (const auto& prompt : prompts) {
    const auto length = static_cast<int64_t>(prompt.size());
    // An answer that does not go on from its prompt has that room of its own, but for the token it starts
    // with.
    const int64_t room = config_.max_out_tokens - (task_ == Task::kText2TextGeneration ? 1 : length);
    DS_CHECK(length > 0, "a prompt has no tokens");
    DS_CHECK(length <= config_.max_out_tokens,
             "a prompt of {} tokens is longer than max_out_tokens, which is {}", length,
             config_.max_out_tokens);
    DS_CHECK(room >= std::max<int64_t>(config_.min_out_tokens, 1),
             "a prompt of {} tokens leaves no room for {} more within max_out_tokens, which is {}", length,
             std::max<int64_t>(config_.min_out_tokens, 1), config_.max_out_tokens);
    Request& request = requests.emplace_back(Request{prompt, wanted});
    auto& config = request.config;
    if (config.max_new_tokens)
      config.max_new_tokens = std::min(*config.max_new_tokens, room);
    else if (config.max_length)
      config.max_length = std::min(*config.max_length, config_.max_out_tokens);
    else if (room < 20)
      config.max_new_tokens = room;  // than transformers' 20 where nobody says
  }
  const GenerateOptions how{.tokenizer = source_.tokenizer.get(), .listener = std::move(listener)};
  if (task_ == Task::kText2TextGeneration) return inference::generate(encoder_decoder(), requests, how);
  if (fit_together(source_.spec, requests)) return inference::generate(decoder(), requests, how);
  std::vector<Answer> answers;
  for (size_t i = 0; i < requests.size(); ++i) {
    GenerateOptions alone = how;
    if (how.listener)
      alone.listener = [&](Progress progress) {
        progress.request = i;
        return how.listener(progress);
      };
    answers.push_back(std::move(inference::generate(decoder(), {requests[i]}, alone).at(0)));
  }
  return answers;
}

namespace {

// Templates take anything, and make an empty prompt of what is no conversation.
void check_messages(const Json& messages) {
  DS_CHECK(messages.is_array() && !messages.empty(),
           "a conversation is a list of one or more {{\"role\": text, \"content\": text}}");
  for (size_t i = 0; i < messages.size(); ++i) {
    const Json& message = messages[i];
    DS_CHECK(message.is_object() && message.contains("role") && message["role"].is_string(),
             "message {} of the conversation has no role (\"user\", \"assistant\", \"system\", ...)", i + 1);
    const Json content = message.value("content", Json());
    const bool calls = message.value("tool_calls", Json()).is_array();
    DS_CHECK(content.is_string() || content.is_array() || (calls && content.is_null()),
             "message {} of the conversation has no content, which is a text or a list of parts", i + 1);
  }
}

}  // namespace

std::string InferenceEngine::chat_prompt(const Json& messages) const {
  check_messages(messages);
  DS_CHECK(source_.chat.has_value(), "{} has no chat template; use text-generation", source_.path.string());
  text::ChatInput input;
  input.messages = messages.dump(-1, ' ', false, Json::error_handler_t::replace);
  input.add_generation_prompt = true;
  input.variables = source_.special_tokens.dump();
  return source_.chat->render(input).text;
}

Answer InferenceEngine::chat(const Json& messages, const Json& options, Listener listener) {
  // The template writes special tokens itself.
  const auto ids = tokenizer().encode(chat_prompt(messages), false).ids;
  return std::move(answer({ids}, options, std::move(listener)).at(0));
}

template <class Model>
std::shared_ptr<Model> InferenceEngine::model_for(Task task) const {
  DS_CHECK(task == task_, "this engine was made for {}, not for {}", task_name(task_), task_name(task));
  if (!writes(task)) tokenizer();
  return std::dynamic_pointer_cast<Model>(module_);
}

models::Decoder& InferenceEngine::decoder() { return *model_for<models::Decoder>(Task::kTextGeneration); }

models::EncoderDecoder& InferenceEngine::encoder_decoder() {
  return *model_for<models::EncoderDecoder>(Task::kText2TextGeneration);
}

FillMask InferenceEngine::fill_mask() {
  return {model_for<models::MaskedLanguageModel>(Task::kFillMask), source_};
}

TextClassification InferenceEngine::text_classification() {
  return {model_for<models::SequenceClassifier>(Task::kTextClassification), source_};
}

TokenClassification InferenceEngine::token_classification() {
  return {model_for<models::TokenClassifier>(Task::kTokenClassification), source_};
}

QuestionAnswering InferenceEngine::question_answering() {
  return {model_for<models::QuestionAnswerer>(Task::kQuestionAnswering), source_};
}

FeatureExtraction InferenceEngine::feature_extraction() {
  return {model_for<BareEncoder>(Task::kFeatureExtraction), source_};
}

Task usual_task(const models::ArchSpec& spec) {
  if (spec.bidirectional) return Task::kFeatureExtraction;
  return spec.is_encoder_decoder() ? Task::kText2TextGeneration : Task::kTextGeneration;
}

comm::GroupPtr inference_group(const InferenceConfig& config) {
  const int64_t ranks = config.tensor_parallel.enabled ? config.tensor_parallel.tp_size : 1;
  const comm::Rendezvous rendezvous = comm::rendezvous_from_env();
  DS_CHECK(rendezvous.world_size == ranks,
           "tensor_parallel.tp_size is {}, but {} rank(s) were started (deepspeed --num_accelerators {} "
           "PROGRAM ...)",
           ranks, rendezvous.world_size, ranks);
  accel::set_compute_threads(rendezvous.local_world_size);
  return ranks == 1 ? nullptr : comm::init_world(rendezvous);
}

at::Device inference_device(const comm::GroupPtr& group) {
  return group ? group->device() : accel::device_of_rank(0);
}

std::unique_ptr<InferenceEngine> init_inference(const std::string& model, std::string_view config,
                                                const Json& arguments, std::optional<Task> task) {
  InferenceConfig parsed = parse_inference_config(config, arguments);
  for (const auto& warning : parsed.warnings) base::log_warning("{}", warning);
  ModelSource source = open_model(model, parsed);
  const Task wanted = task.value_or(guess_task(source.config, usual_task(source.spec)));
  comm::GroupPtr group = inference_group(parsed);
  const at::Device device = inference_device(group);
  return std::make_unique<InferenceEngine>(std::move(source), std::move(parsed), wanted, std::move(group),
                                           device);
}

}  // namespace deepspeed::inference
