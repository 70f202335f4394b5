#include "deepspeed/inference/model_source.h"

#include <algorithm>

#include "deepspeed/base/error.h"
#include "deepspeed/formats/gguf.h"
#include "deepspeed/formats/hub_cache.h"
#include "deepspeed/inference/checkpoint_files.h"
#include "deepspeed/inference/generation_config.h"
#include "deepspeed/inference/gguf_tokenizer.h"
#include "deepspeed/models/gguf_model.h"
#include "deepspeed/models/json_file.h"

namespace deepspeed::inference {
namespace {

namespace fs = std::filesystem;
using config::Json;

constexpr size_t kLongestConfig = size_t{64} << 20;

Json read_json(const fs::path& path) {
  Json json = models::read_json_file<Json>(path, kLongestConfig);
  DS_CHECK(json.is_object(), "{}: must hold a JSON object", path.string());
  return json;
}

Json read_json_if_there(const fs::path& path) { return fs::exists(path) ? read_json(path) : Json::object(); }

void drop_nothing(models::ArchSpec& spec) {
  spec.embedding_dropout = spec.attention_dropout = spec.residual_dropout = 0;
  spec.inner_dropout = spec.output_dropout = 0;
  spec.pooler_dropout = spec.classifier_dropout = spec.token_dropout = spec.answer_dropout = 0;
}

formats::ModelFiles open_list(const std::vector<std::string>& files, const std::string& base_dir) {
  std::vector<fs::path> paths;
  for (const std::string& file : files) paths.push_back(fs::path(base_dir) / formats::expand_home(file));
  return formats::ModelFiles::open_all(paths);
}

// The model's own unless the configuration names others.
formats::ModelFiles open_weights(const fs::path& model, const InferenceConfig& config) {
  if (!config.checkpoint_files.empty()) return open_list(config.checkpoint_files, config.base_dir);
  if (!config.checkpoint) return formats::ModelFiles::open(model);
  const fs::path path = fs::path(config.base_dir) / formats::expand_home(*config.checkpoint);
  if (path.extension() == ".json" && fs::is_regular_file(path))
    if (const Json json = read_json(path); json.contains("checkpoints"))
      return open_list(parse_checkpoint_files(json, path.string()), config.base_dir);
  return formats::ModelFiles::open(path);
}

// The type of the largest tensor.
at::ScalarType type_of(const formats::ModelFiles& files) {
  size_t most = 0;
  at::ScalarType type = at::kFloat;
  for (const std::string& name : files.names()) {
    const auto& tensor = files.tensor(name);
    if (tensor.elements() <= most) continue;
    most = tensor.elements();
    const auto dtype = tensor.dtype();
    type = dtype == formats::Dtype::kBF16  ? at::kBFloat16
           : dtype == formats::Dtype::kF16 ? at::kHalf
                                           : at::kFloat;
  }
  return type;
}

void read_special_tokens(const fs::path& folder, const Json& tokenizer_config, Json& out) {
  for (const Json& from : {read_json_if_there(folder / "special_tokens_map.json"), tokenizer_config})
    for (const auto& [key, value] : from.items()) {
      if (!key.ends_with("_token")) continue;
      if (value.is_string()) out[key] = value;
      if (value.is_object() && value.contains("content") && value["content"].is_string())
        out[key] = value["content"];
    }
}

void read_metadata(const formats::GgufMetadata& metadata, const std::string& name, ModelSource& out) {
  if (auto tokenizer = gguf_tokenizer(metadata, name))
    out.tokenizer = std::make_shared<text::Tokenizer>(std::move(*tokenizer));
  out.chat = gguf_chat_template(metadata, name);
  out.special_tokens = gguf_special_tokens(metadata);
  out.generation = gguf_generation_defaults(metadata);
  out.pooling = gguf_pooling(metadata);
}

void read_folder(const fs::path& folder, ModelSource& out) {
  if (const fs::path own = folder / formats::kGgufCompanion; fs::exists(own))
    read_metadata(formats::GgufFile(own).metadata(), own.string(), out);
  if (fs::exists(folder / "tokenizer.json"))
    out.tokenizer = std::make_shared<text::Tokenizer>(text::Tokenizer::from_file(folder / "tokenizer.json"));
  const Json tokenizer = read_json_if_there(folder / "tokenizer_config.json");
  read_special_tokens(folder, tokenizer, out.special_tokens);
  if (const auto longest = tokenizer.find("model_max_length");
      longest != tokenizer.end() && longest->is_number())
    if (const double value = longest->get<double>(); value >= 1 && value < static_cast<double>(out.longest))
      out.longest = static_cast<size_t>(value);
  if (auto chat = text::ChatTemplate::from_folder(folder)) out.chat = std::move(chat);
  if (!fs::exists(folder / "config.json")) return;
  out.config = read_json(folder / "config.json");
  const Json defaults = generation_defaults(folder);
  for (const auto& [key, value] : defaults.items()) out.generation[key] = value;
}

}  // namespace

std::optional<int32_t> ModelSource::special_token(const std::string& name) const {
  if (!tokenizer) return std::nullopt;
  if (special_tokens.contains(name)) return tokenizer->token_to_id(special_tokens[name].get<std::string>());
  // Folders of a tokenizer.json alone: BERT's spelling and RoBERTa's.
  std::string word = name.substr(0, name.find('_')), upper = word;
  std::transform(upper.begin(), upper.end(), upper.begin(), [](unsigned char c) { return std::toupper(c); });
  if (name == "cls_token") word = "s";
  if (name == "sep_token") word = "/s";
  for (const std::string& spelling : {"[" + upper + "]", "<" + word + ">"})
    if (const auto id = tokenizer->token_to_id(spelling)) return id;
  return std::nullopt;
}

ModelSource open_model(const std::string& name, const InferenceConfig& config) {
  ModelSource out;
  out.path = formats::find_model(name);
  out.config = out.generation = out.special_tokens = Json::object();
  formats::ModelFiles files = open_weights(out.path, config);
  out.spec = models::arch_spec_of(out.path, files);
  drop_nothing(out.spec);
  out.stored_type = type_of(files);
  out.longest = static_cast<size_t>(out.spec.max_positions);
  if (const auto* metadata = files.gguf_metadata()) read_metadata(*metadata, files.source().string(), out);
  // A single file of another format has its companions beside it.
  const bool folder = fs::is_directory(out.path);
  if (folder || files.gguf_metadata() == nullptr)
    read_folder(folder ? out.path : out.path.parent_path(), out);
  out.weights = std::make_shared<models::WeightSource>(std::move(files), out.spec);
  if (folder && models::QuantizedFiles::present(out.path))
    out.quantized = std::make_shared<models::QuantizedFiles>(out.path, out.spec);
  return out;
}

}  // namespace deepspeed::inference
