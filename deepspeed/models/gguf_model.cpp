#include "deepspeed/models/gguf_model.h"

#include <iterator>
#include <string_view>

#include "deepspeed/base/error.h"
#include "deepspeed/base/file.h"

namespace deepspeed::models {
namespace {

using nlohmann::json;

// Our names and GGUF's, of all families.
constexpr WeightName kNames[] = {{"embedding.weight", "token_embd.weight"},
                                 {"positions.weight", "position_embd.weight"},
                                 {"layers.{}.norm1.weight", "blk.{}.attn_norm.weight"},
                                 {"layers.{}.norm1.bias", "blk.{}.attn_norm.bias"},
                                 {"layers.{}.attention.qkv.weight", "blk.{}.attn_qkv.weight"},
                                 {"layers.{}.attention.qkv.bias", "blk.{}.attn_qkv.bias"},
                                 {"layers.{}.attention.query.weight", "blk.{}.attn_q.weight"},
                                 {"layers.{}.attention.query.bias", "blk.{}.attn_q.bias"},
                                 {"layers.{}.attention.key.weight", "blk.{}.attn_k.weight"},
                                 {"layers.{}.attention.key.bias", "blk.{}.attn_k.bias"},
                                 {"layers.{}.attention.value.weight", "blk.{}.attn_v.weight"},
                                 {"layers.{}.attention.value.bias", "blk.{}.attn_v.bias"},
                                 {"layers.{}.attention.query_norm.weight", "blk.{}.attn_q_norm.weight"},
                                 {"layers.{}.attention.key_norm.weight", "blk.{}.attn_k_norm.weight"},
                                 {"layers.{}.attention.output.weight", "blk.{}.attn_output.weight"},
                                 {"layers.{}.attention.output.bias", "blk.{}.attn_output.bias"},
                                 {"layers.{}.attention_norm.weight", "blk.{}.post_attention_norm.weight"},
                                 {"layers.{}.norm2.weight", "blk.{}.ffn_norm.weight"},
                                 {"layers.{}.norm2.bias", "blk.{}.ffn_norm.bias"},
                                 {"layers.{}.mlp.gate.weight", "blk.{}.ffn_gate.weight"},
                                 {"layers.{}.mlp.gate.bias", "blk.{}.ffn_gate.bias"},
                                 {"layers.{}.mlp.up.weight", "blk.{}.ffn_up.weight"},
                                 {"layers.{}.mlp.up.bias", "blk.{}.ffn_up.bias"},
                                 {"layers.{}.mlp.down.weight", "blk.{}.ffn_down.weight"},
                                 {"layers.{}.mlp.down.bias", "blk.{}.ffn_down.bias"},
                                 {"layers.{}.mlp_norm.weight", "blk.{}.post_ffw_norm.weight"},
                                 {"norm.weight", "output_norm.weight"},
                                 {"norm.bias", "output_norm.bias"},
                                 {"head.weight", "output.weight"}};

// The metadata's keys under the architecture's own name.
class Metadata {
 public:
  explicit Metadata(const formats::ModelFiles& files)
      : files_(files),
        all_(*files.gguf_metadata()),
        architecture_(all_.text("general.architecture")),
        prefix_(architecture_ + ".") {}

  const std::string& architecture() const { return architecture_; }
  const formats::ModelFiles& files() const { return files_; }
  bool has(const std::string& key) const { return all_.contains(prefix_ + key); }
  int64_t integer(const std::string& key) const { return all_.integer(prefix_ + key); }
  int64_t integer(const std::string& key, int64_t fallback) const {
    return has(key) ? integer(key) : fallback;
  }
  double number(const std::string& key) const { return all_.number(prefix_ + key); }
  std::string text(const std::string& key) const { return std::string(all_.text(prefix_ + key)); }
  /// Of a list of flags; nothing where the key is no list.
  std::optional<std::vector<bool>> flags(const std::string& key) const {
    if (!has(key) || all_.value(prefix_ + key).type != formats::GgufType::kArray) return std::nullopt;
    return all_.booleans(prefix_ + key);
  }
  int64_t positive(const std::string& key) const {
    const int64_t value = integer(key);
    DS_CHECK(value > 0, "{}: '{}{}' is {}; it must be positive", files_.source().string(), prefix_, key,
             value);
    return value;
  }
  /// A head's share of the model's width.
  int64_t model_share() const { return positive("embedding_length") / positive("attention.head_count"); }
  int64_t head_dim() const {
    return has("attention.key_length") ? positive("attention.key_length") : model_share();
  }

 private:
  const formats::ModelFiles& files_;
  const formats::GgufMetadata& all_;
  std::string architecture_, prefix_;
};

json floats_of(const formats::ModelFiles& files, const std::string& name) {
  const auto& tensor = files.tensor(name);
  std::vector<float> values(tensor.elements());
  formats::read_floats(tensor, 0, values.size(), values.data());
  return values;
}

json scaling_of(const Metadata& data) {
  json scaling = json::object();
  const std::string type = data.has("rope.scaling.type") ? data.text("rope.scaling.type") : "none";
  if (type == "none") {
    // As it was spelled first.
    if (data.has("rope.scale_linear") && data.number("rope.scale_linear") != 1)
      return {{"rope_type", "linear"}, {"factor", data.number("rope.scale_linear")}};
    return scaling;
  }
  scaling["rope_type"] = type;
  if (data.has("rope.scaling.factor")) scaling["factor"] = data.number("rope.scaling.factor");
  if (data.has("rope.scaling.attn_factor"))
    scaling["attention_factor"] = data.number("rope.scaling.attn_factor");
  if (data.has("rope.scaling.original_context_length"))
    scaling["original_max_position_embeddings"] = data.integer("rope.scaling.original_context_length");
  return scaling;
}

// What all families but GPT-2 have.
void rms_keys(const Metadata& data, json& config) {
  const formats::ModelFiles& files = data.files();
  config["hidden_size"] = data.integer("embedding_length");
  config["num_hidden_layers"] = data.integer("block_count");
  config["num_attention_heads"] = data.integer("attention.head_count");
  config["num_key_value_heads"] = data.integer("attention.head_count_kv", config["num_attention_heads"]);
  config["head_dim"] = data.head_dim();
  config["intermediate_size"] = data.integer("feed_forward_length");
  config["max_position_embeddings"] = data.integer("context_length");
  config["rms_norm_eps"] = data.number("attention.layer_norm_rms_epsilon");
  if (data.has("rope.freq_base")) config["rope_theta"] = data.number("rope.freq_base");
  if (const json scaling = scaling_of(data); !scaling.empty()) config["rope_scaling"] = scaling;
  config["attention_bias"] = files.contains("blk.0.attn_q.bias");
  config["pad_token_id"] = nullptr;  // it matters for training alone
}

void llama_keys(const Metadata& data, json& config) {
  rms_keys(data, config);
  config["mlp_bias"] = data.files().contains("blk.0.ffn_gate.bias");
  if (data.has("attention.sliding_window")) {
    config["model_type"] = "mistral";
    config["sliding_window"] = data.integer("attention.sliding_window");
  }
}

void phi3_keys(const Metadata& data, json& config) {
  rms_keys(data, config);
  const int64_t window = data.integer("attention.sliding_window", 0);
  config["sliding_window"] = window > 0 ? json(window) : json(nullptr);
  config["partial_rotary_factor"] =
      static_cast<double>(data.integer("rope.dimension_count", data.head_dim())) /
      static_cast<double>(data.head_dim());
  const formats::ModelFiles& files = data.files();
  if (!files.contains("rope_factors_long.weight")) return;
  json& scaling = config["rope_scaling"];
  scaling["rope_type"] = "longrope";
  scaling["long_factor"] = floats_of(files, "rope_factors_long.weight");
  scaling["short_factor"] = floats_of(files, "rope_factors_short.weight");
  const int64_t original = data.positive("rope.scaling.original_context_length");
  config["original_max_position_embeddings"] = original;
  scaling["factor"] = static_cast<double>(data.positive("context_length")) / static_cast<double>(original);
}

// The largest of a generation scales scores by the width of a head's share of the model.
void gemma_scale(const Metadata& data, int64_t largest, json& config) {
  config["query_pre_attn_scalar"] =
      data.integer("block_count") == largest ? data.model_share() : data.head_dim();
}

void gemma2_keys(const Metadata& data, json& config) {
  rms_keys(data, config);
  gemma_scale(data, 46, config);
  config["sliding_window"] = data.integer("attention.sliding_window", 4096);
  for (const auto& [key, name] : {std::pair("attn_logit_softcapping", "attn_logit_softcapping"),
                                  std::pair("final_logit_softcapping", "final_logit_softcapping")})
    if (data.has(key)) config[name] = data.number(key);
}

void gemma3_keys(const Metadata& data, json& config) {
  rms_keys(data, config);
  gemma_scale(data, 62, config);
  if (data.has("final_logit_softcapping"))
    config["final_logit_softcapping"] = data.number("final_logit_softcapping");
  config["sliding_window"] = data.integer("attention.sliding_window");
  const char* pattern = "attention.sliding_window_pattern";
  if (const auto windowed = data.flags(pattern)) {
    for (const bool one : *windowed)
      config["layer_types"].push_back(one ? "sliding_attention" : "full_attention");
  } else if (data.has(pattern)) {
    config["sliding_window_pattern"] = data.integer(pattern);
  }
  if (data.has("rope.freq_base_swa")) config["rope_local_base_freq"] = data.number("rope.freq_base_swa");
}

void gpt2_keys(const Metadata& data, json& config) {
  config["n_embd"] = data.integer("embedding_length");
  config["n_layer"] = data.integer("block_count");
  config["n_head"] = data.integer("attention.head_count");
  config["n_inner"] = data.integer("feed_forward_length");
  config["n_positions"] = data.integer("context_length");
  config["layer_norm_epsilon"] = data.number("attention.layer_norm_epsilon");
  for (const char* dropout : {"embd_pdrop", "attn_pdrop", "resid_pdrop"}) config[dropout] = 0;
}

struct Family {
  std::string_view architecture;
  const char* model_type;
  void (*read)(const Metadata&, json&);
};
constexpr Family kFamilies[] = {{"gemma", "gemma", rms_keys},           {"gemma2", "gemma2", gemma2_keys},
                                {"gemma3", "gemma3_text", gemma3_keys}, {"gpt2", "gpt2", gpt2_keys},
                                {"llama", "llama", llama_keys},         {"phi3", "phi3", phi3_keys},
                                {"qwen2", "qwen2", rms_keys},           {"qwen3", "qwen3", rms_keys}};

const Family& family_of(const Metadata& data) {
  std::string known;
  for (const Family& family : kFamilies) {
    if (family.architecture == data.architecture()) return family;
    known += (known.empty() ? "" : ", ") + std::string(family.architecture);
  }
  base::fail("{}: GGUF models of the architecture \"{}\" are not available yet (known: {})",
             data.files().source().string(), formats::shown(data.architecture()), known);
}

bool turned_as_neighbours(const ArchSpec& spec) {
  return spec.model_type == "llama" || spec.model_type == "mistral";
}

WeightName stored_by(const ArchSpec& spec, WeightName name) {
  const std::string_view ours = name.ours;
  const bool of_query_or_key =
      ours.find("attention.query.") != ours.npos || ours.find("attention.key.") != ours.npos;
  if (of_query_or_key && turned_as_neighbours(spec)) name.rows = RowOrder::kNeighbours;
  if (ours.find("norm") != ours.npos && spec.norm == nn::NormKind::kRmsNormFromOne) name.added = 1;
  if (spec.model_type == "phi3") {
    if (ours == "layers.{}.mlp.gate.weight") name = {name.ours, "blk.{}.ffn_up.weight", RowOrder::kFirstHalf};
    if (ours == "layers.{}.mlp.up.weight") name.rows = RowOrder::kSecondHalf;
  }
  return name;
}

bool has_sizes(const json& config) {
  return config.is_object() && (config.contains("hidden_size") || config.contains("n_embd"));
}

}  // namespace

json gguf_config(const formats::ModelFiles& files) {
  const Metadata data(files);
  const Family& family = family_of(data);
  DS_CHECK(data.integer("expert_count", 0) == 0,
           "{}: experts in GGUF files are not available yet; use the model's safetensors",
           files.source().string());
  const auto& table = files.tensor("token_embd.weight");
  DS_CHECK(table.shape.size() == 2, "{}: 'token_embd.weight' has shape {}, which is no table of embeddings",
           files.source().string(), formats::shape_text(table.shape));
  DS_CHECK(static_cast<size_t>(data.positive("block_count")) <= files.names().size(),
           "{}: '{}.block_count' is {}, more than the file's {} tensors", files.source().string(),
           data.architecture(), data.integer("block_count"), files.names().size());
  json config = {{"model_type", family.model_type},
                 {"vocab_size", table.shape[0]},
                 {"tie_word_embeddings", !files.contains("output.weight")}};
  family.read(data, config);
  return config;
}

ArchSpec with_gguf_names(ArchSpec spec, const formats::ModelFiles& files) {
  family_of(Metadata(files));
  spec.names.clear();
  for (const WeightName& name : kNames) spec.names.push_back(stored_by(spec, name));
  spec.name_prefix.clear();
  spec.older_endings.clear();
  spec.other_heads.clear();
  spec.order = nn::WeightOrder::kOutIn;
  return spec;
}

ArchSpec gguf_arch_spec(const formats::ModelFiles& files) {
  ArchSpec spec = with_gguf_names(parse_arch_spec(gguf_config(files), files.source().string()), files);
  spec.output_bias = files.contains("blk.0.attn_output.bias");
  if (files.contains("rope_freqs.weight")) {
    spec.rope.stretch = RopeStretch::kFactors;
    spec.rope.factors = floats_of(files, "rope_freqs.weight").get<std::vector<double>>();
    DS_CHECK(spec.rope.factors.size() == static_cast<size_t>(spec.rope.dim / 2),
             "{}: 'rope_freqs.weight' has {} factors for {} frequencies", files.source().string(),
             spec.rope.factors.size(), spec.rope.dim / 2);
  }
  return spec;
}

ArchSpec arch_spec_of(const std::filesystem::path& folder_or_file, const formats::ModelFiles& files) {
  const bool folder = std::filesystem::is_directory(folder_or_file);
  const std::filesystem::path config =
      (folder ? folder_or_file : folder_or_file.parent_path()) / "config.json";
  if (files.gguf_metadata() == nullptr) {
    DS_CHECK(std::filesystem::exists(config), "'{}' is missing: it says what model the weights are of",
             config.string());
    return read_arch_spec(config);
  }
  if (folder && std::filesystem::exists(config) &&
      has_sizes(json::parse(base::read_text_file(config, size_t{16} << 20), nullptr, false)))
    return with_gguf_names(read_arch_spec(config), files);
  return gguf_arch_spec(files);
}

}  // namespace deepspeed::models
