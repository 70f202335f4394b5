#include "deepspeed/engine/auto_values.h"

#include <stdexcept>
#include <string>

#include "deepspeed/config/json.h"

namespace deepspeed::engine {
namespace {

using config::AutoValue;
using config::Json;
using config::Node;

constexpr const char* kTrainer = "the default of Hugging Face's TrainingArguments";
constexpr double kTrainerLr = 5e-5;
constexpr int kTrainerMicroBatch = 8;

// `root` is the whole configuration.
using Resolver = AutoValue (*)(const AutoFacts& facts, const Node& root);

struct Row {
  const char* key;
  Resolver resolve;
};

bool given(const Node& root, const char* key) {
  auto node = root.find(key);
  return node && node->json().is_number();
}

AutoValue other_batch_keys(const AutoFacts&, const Node&) {
  return {Json(nullptr), "it follows from the other batch keys and the number of ranks"};
}

AutoValue micro_batch(const AutoFacts& facts, const Node& root) {
  if (given(root, "train_batch_size")) return other_batch_keys(facts, root);
  return {kTrainerMicroBatch, kTrainer};
}

AutoValue learning_rate(const AutoFacts&, const Node&) { return {kTrainerLr, kTrainer}; }

AutoValue warmup_max_lr(const AutoFacts&, const Node& root) {
  auto optimizer = root.find("optimizer");
  auto params = optimizer ? optimizer->find("params") : std::nullopt;
  auto lr = params ? params->find("lr") : std::nullopt;
  if (lr && lr->json().is_number()) return {lr->json(), "it is optimizer.params.lr"};
  return {kTrainerLr, kTrainer};
}

AutoValue total_steps(const AutoFacts& facts, const Node&) {
  if (!facts.total_steps)
    return {std::nullopt, "the number of training steps is not known (--steps gives it)"};
  return {*facts.total_steps, "the steps of this training"};
}

template <config::DataType kType>
AutoValue precision(const AutoFacts& facts, const Node&) {
  if (!facts.model_dtype) return {std::nullopt, "the model's own format is not known"};
  return {*facts.model_dtype == kType, "the format of the model's files"};
}

// `part` of the square of the hidden size, or 10 times the hidden size.
AutoValue from_hidden_size(const AutoFacts& facts, int64_t (*rule)(int64_t)) {
  if (!facts.hidden_size) return {std::nullopt, "the model's hidden size is not known"};
  return {rule(*facts.hidden_size), "from the model's hidden size " + std::to_string(*facts.hidden_size)};
}

const std::vector<Row>& rows() {
  static const std::vector<Row> kRows{
      {"train_batch_size", other_batch_keys},
      {"train_micro_batch_size_per_gpu", micro_batch},
      {"gradient_accumulation_steps", other_batch_keys},
      {"gradient_clipping",
       [](const AutoFacts&, const Node&) {
         return AutoValue{1.0, kTrainer};
       }},
      {"optimizer.params.lr", learning_rate},
      {"optimizer.params.betas",
       [](const AutoFacts&, const Node&) {
         return AutoValue{Json{0.9, 0.999}, kTrainer};
       }},
      {"optimizer.params.eps",
       [](const AutoFacts&, const Node&) {
         return AutoValue{1e-8, kTrainer};
       }},
      {"optimizer.params.weight_decay",
       [](const AutoFacts&, const Node&) {
         return AutoValue{0.0, kTrainer};
       }},
      {"scheduler.params.warmup_min_lr",
       [](const AutoFacts&, const Node&) {
         return AutoValue{0.0, kTrainer};
       }},
      {"scheduler.params.warmup_max_lr", warmup_max_lr},
      {"scheduler.params.warmup_num_steps",
       [](const AutoFacts&, const Node&) {
         return AutoValue{1, std::string("no warm-up is ") + kTrainer};
       }},
      {"scheduler.params.total_num_steps", total_steps},
      {"fp16.enabled", precision<config::DataType::kFp16>},
      {"bf16.enabled", precision<config::DataType::kBf16>},
      {"zero_optimization.reduce_bucket_size",
       [](const AutoFacts& facts, const Node&) {
         return from_hidden_size(facts, [](int64_t hidden) { return hidden * hidden; });
       }},
      {"zero_optimization.stage3_prefetch_bucket_size",
       [](const AutoFacts& facts, const Node&) {
         return from_hidden_size(facts, [](int64_t hidden) { return hidden * hidden * 9 / 10; });
       }},
      {"zero_optimization.stage3_param_persistence_threshold",
       [](const AutoFacts& facts, const Node&) {
         return from_hidden_size(facts, [](int64_t hidden) { return hidden * 10; });
       }},
  };
  return kRows;
}

// Every field with this dotted name: variants of a block have their own.
void fields_at(config::Table& table, std::string_view key, std::vector<config::Field*>& out) {
  const size_t dot = key.find('.');
  config::Field* field = table.find(key.substr(0, dot));
  if (!field) return;
  if (dot == std::string_view::npos) return out.push_back(field);
  if (field->table) fields_at(*field->table, key.substr(dot + 1), out);
  for (config::Variant& variant : field->variants) fields_at(*variant.table, key.substr(dot + 1), out);
}

}  // namespace

AutoFacts facts_of_model(const std::filesystem::path& config_json) {
  const config::Document document = config::load(config_json.string());
  AutoFacts facts;
  for (const char* key : {"hidden_size", "n_embd", "d_model"})
    if (auto it = document.json.find(key); it != document.json.end() && it->is_number_integer())
      facts.hidden_size = it->get<int64_t>();
  for (const char* key : {"torch_dtype", "dtype"})
    for (const auto& [name, type] : config::data_type_names())
      if (document.json.value(key, Json()) == name) facts.model_dtype = type;
  return facts;
}

void add_auto_values(config::Table& root, const AutoFacts& facts) {
  for (const Row& row : rows()) {
    std::vector<config::Field*> fields;
    fields_at(root, row.key, fields);
    if (fields.empty()) throw std::logic_error(std::string("auto_values: no key ") + row.key);
    for (config::Field* field : fields)
      field->resolve_auto = [facts, resolve = row.resolve](const Node& block) {
        return resolve(facts, block.root());
      };
  }
}

}  // namespace deepspeed::engine
