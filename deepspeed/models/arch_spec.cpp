#include "deepspeed/models/arch_spec.h"

#include <algorithm>

#include "deepspeed/base/error.h"
#include "deepspeed/base/file.h"

namespace deepspeed::models {
namespace {

using nlohmann::json;

constexpr int64_t kLargestSize = int64_t{1} << 31;  // of any one dimension: keeps products within 63 bits

// Reads keys of one config.json, naming file and key in every error.
class Reader {
 public:
  Reader(const json& config, std::string where) : config_(config), where_(std::move(where)) {}

  int64_t size(const char* key) const {
    DS_CHECK(present(key), "{}: '{}' is missing", where_, key);
    return size(key, 0);
  }
  int64_t size(const char* key, int64_t fallback) const {
    if (!present(key)) return fallback;
    DS_CHECK(config_[key].is_number_integer(), "{}: '{}' must be a whole number", where_, key);
    const auto value = config_[key].get<int64_t>();
    DS_CHECK(value > 0 && value < kLargestSize, "{}: '{}' is {}, which is no possible size", where_, key,
             value);
    return value;
  }
  double number(const char* key, double fallback) const {
    if (!present(key)) return fallback;
    DS_CHECK(config_[key].is_number(), "{}: '{}' must be a number", where_, key);
    return config_[key].get<double>();
  }
  double probability(const char* key, double fallback) const {
    const double p = number(key, fallback);
    DS_CHECK(p >= 0 && p < 1, "{}: '{}' is {}, not a probability in [0, 1)", where_, key, p);
    return p;
  }
  bool flag(const char* key, bool fallback) const {
    if (!present(key)) return fallback;
    DS_CHECK(config_[key].is_boolean(), "{}: '{}' must be true or false", where_, key);
    return config_[key].get<bool>();
  }
  std::string text(const char* key, const std::string& fallback) const {
    if (!present(key)) return fallback;
    DS_CHECK(config_[key].is_string(), "{}: '{}' must be a string", where_, key);
    return config_[key].get<std::string>();
  }
  /// The option changes the arithmetic and only one value of it is built.
  void only(const char* key, const json& built) const {
    DS_CHECK(!present(key) || config_[key] == built, "{}: '{}' = {} is not available yet (only {})", where_,
             key, config_[key].dump(), built.dump());
  }
  bool present(const char* key) const { return config_.contains(key) && !config_[key].is_null(); }
  const json& at(const char* key) const { return config_[key]; }
  const std::string& where() const { return where_; }

 private:
  const json& config_;
  std::string where_;
};

nn::Activation gelu_activation(const Reader& config, const char* key, const std::string& fallback) {
  const std::string name = config.text(key, fallback);
  if (name == "gelu_new" || name == "gelu_pytorch_tanh" || name == "gelu_fast")
    return nn::Activation::kGeluTanh;
  if (name == "gelu") return nn::Activation::kGeluErf;
  base::fail("{}: '{}' = \"{}\" is not available yet (gelu, gelu_new, gelu_pytorch_tanh, gelu_fast)",
             config.where(), key, name);
}

ArchSpec gpt2(const Reader& config) {
  for (const char* key :
       {"scale_attn_by_inverse_layer_idx", "reorder_and_upcast_attn", "add_cross_attention"})
    config.only(key, false);
  config.only("scale_attn_weights", true);
  ArchSpec s;
  s.vocab = config.size("vocab_size", 50257);
  s.hidden = config.size("n_embd", 768);
  s.layers = config.size("n_layer", 12);
  s.heads = s.kv_heads = config.size("n_head", 12);
  s.head_dim = s.hidden / s.heads;
  s.intermediate = config.size("n_inner", 4 * s.hidden);
  s.max_positions = config.size("n_positions", 1024);
  s.norm_eps = config.number("layer_norm_epsilon", 1e-5);
  s.activation = gelu_activation(config, "activation_function", "gelu_new");
  s.fused_qkv = s.qkv_bias = s.output_bias = s.mlp_bias = true;
  s.order = nn::WeightOrder::kInOut;
  s.tied_embeddings = config.flag("tie_word_embeddings", true);
  s.init_std = config.number("initializer_range", 0.02);
  s.scaled_residual_init = true;
  s.embedding_dropout = config.probability("embd_pdrop", 0.1);
  s.attention_dropout = config.probability("attn_pdrop", 0.1);
  s.residual_dropout = config.probability("resid_pdrop", 0.1);
  s.name_prefix = "transformer.";
  s.names = {{"embedding.weight", "transformer.wte.weight"},
             {"positions.weight", "transformer.wpe.weight"},
             {"layers.{}.norm1.weight", "transformer.h.{}.ln_1.weight"},
             {"layers.{}.norm1.bias", "transformer.h.{}.ln_1.bias"},
             {"layers.{}.attention.qkv.weight", "transformer.h.{}.attn.c_attn.weight"},
             {"layers.{}.attention.qkv.bias", "transformer.h.{}.attn.c_attn.bias"},
             {"layers.{}.attention.output.weight", "transformer.h.{}.attn.c_proj.weight"},
             {"layers.{}.attention.output.bias", "transformer.h.{}.attn.c_proj.bias"},
             {"layers.{}.norm2.weight", "transformer.h.{}.ln_2.weight"},
             {"layers.{}.norm2.bias", "transformer.h.{}.ln_2.bias"},
             {"layers.{}.mlp.up.weight", "transformer.h.{}.mlp.c_fc.weight"},
             {"layers.{}.mlp.up.bias", "transformer.h.{}.mlp.c_fc.bias"},
             {"layers.{}.mlp.down.weight", "transformer.h.{}.mlp.c_proj.weight"},
             {"layers.{}.mlp.down.bias", "transformer.h.{}.mlp.c_proj.bias"},
             {"norm.weight", "transformer.ln_f.weight"},
             {"norm.bias", "transformer.ln_f.bias"},
             {"head.weight", "lm_head.weight"}};
  return s;
}

// transformers 5 writes rope_parameters {rope_type, rope_theta}; before that rope_theta and rope_scaling
// stood alone.
double rope_theta(const Reader& config) {
  config.only("rope_scaling", nullptr);
  if (!config.present("rope_parameters")) return config.number("rope_theta", 10000);
  const Reader rope(config.at("rope_parameters"), config.where() + " rope_parameters");
  rope.only("rope_type", "default");
  return rope.number("rope_theta", 10000);
}

ArchSpec llama(const Reader& config) {
  config.only("hidden_act", "silu");
  config.only("pretraining_tp", 1);
  ArchSpec s;
  s.vocab = config.size("vocab_size", 32000);
  s.hidden = config.size("hidden_size", 4096);
  s.layers = config.size("num_hidden_layers", 32);
  s.heads = config.size("num_attention_heads", 32);
  s.kv_heads = config.size("num_key_value_heads", s.heads);
  s.head_dim = config.size("head_dim", s.hidden / s.heads);
  s.intermediate = config.size("intermediate_size", 11008);
  s.max_positions = config.size("max_position_embeddings", 2048);
  s.norm = nn::NormKind::kRmsNorm;
  s.norm_eps = config.number("rms_norm_eps", 1e-6);
  s.positions = Positions::kRotary;
  s.rope_theta = rope_theta(config);
  s.activation = nn::Activation::kSwiGlu;
  s.qkv_bias = s.output_bias = config.flag("attention_bias", false);
  s.mlp_bias = config.flag("mlp_bias", false);
  s.tied_embeddings = config.flag("tie_word_embeddings", false);
  s.init_std = config.number("initializer_range", 0.02);
  s.attention_dropout = config.probability("attention_dropout", 0);
  s.name_prefix = "model.";
  s.names = {{"embedding.weight", "model.embed_tokens.weight"},
             {"layers.{}.norm1.weight", "model.layers.{}.input_layernorm.weight"},
             {"layers.{}.attention.query.weight", "model.layers.{}.self_attn.q_proj.weight"},
             {"layers.{}.attention.query.bias", "model.layers.{}.self_attn.q_proj.bias"},
             {"layers.{}.attention.key.weight", "model.layers.{}.self_attn.k_proj.weight"},
             {"layers.{}.attention.key.bias", "model.layers.{}.self_attn.k_proj.bias"},
             {"layers.{}.attention.value.weight", "model.layers.{}.self_attn.v_proj.weight"},
             {"layers.{}.attention.value.bias", "model.layers.{}.self_attn.v_proj.bias"},
             {"layers.{}.attention.output.weight", "model.layers.{}.self_attn.o_proj.weight"},
             {"layers.{}.attention.output.bias", "model.layers.{}.self_attn.o_proj.bias"},
             {"layers.{}.norm2.weight", "model.layers.{}.post_attention_layernorm.weight"},
             {"layers.{}.mlp.gate.weight", "model.layers.{}.mlp.gate_proj.weight"},
             {"layers.{}.mlp.gate.bias", "model.layers.{}.mlp.gate_proj.bias"},
             {"layers.{}.mlp.up.weight", "model.layers.{}.mlp.up_proj.weight"},
             {"layers.{}.mlp.up.bias", "model.layers.{}.mlp.up_proj.bias"},
             {"layers.{}.mlp.down.weight", "model.layers.{}.mlp.down_proj.weight"},
             {"layers.{}.mlp.down.bias", "model.layers.{}.mlp.down_proj.bias"},
             {"norm.weight", "model.norm.weight"},
             {"head.weight", "lm_head.weight"}};
  return s;
}

struct Row {
  const char* model_type;
  ArchSpec (*read)(const Reader&);
};
constexpr Row kRows[] = {{"gpt2", gpt2}, {"llama", llama}};

void check(const ArchSpec& s, const std::string& where) {
  DS_CHECK(s.heads * s.head_dim == s.hidden || s.positions == Positions::kRotary,
           "{}: the hidden size {} is not a multiple of the {} heads", where, s.hidden, s.heads);
  DS_CHECK(s.heads % s.kv_heads == 0, "{}: {} attention heads are not a multiple of {} key-value heads",
           where, s.heads, s.kv_heads);
  DS_CHECK(s.positions != Positions::kRotary || s.head_dim % 2 == 0,
           "{}: rotary positions need an even head size, got {}", where, s.head_dim);
  DS_CHECK(s.norm_eps > 0 && s.init_std > 0 && s.rope_theta > 0,
           "{}: epsilon, initializer range and rope theta must be positive", where);
}

}  // namespace

std::string ArchSpec::hugging_face_name(const std::string& ours) const {
  // "layers.<n>." is the one place where a number stands.
  std::string pattern = ours, number;
  if (ours.rfind("layers.", 0) == 0) {
    const size_t end = ours.find('.', 7);
    number = ours.substr(7, end - 7);
    pattern = "layers.{}" + ours.substr(end);
  }
  auto row =
      std::find_if(names.begin(), names.end(), [&](const WeightName& name) { return pattern == name.ours; });
  DS_CHECK(row != names.end(), "the {} table has no Hugging Face name for '{}'", model_type, ours);
  std::string name = row->hugging_face;
  if (const size_t hole = name.find("{}"); hole != std::string::npos) name.replace(hole, 2, number);
  return name;
}

ArchSpec parse_arch_spec(const json& config, const std::string& where) {
  DS_CHECK(config.is_object(), "{}: a model's configuration must be a JSON object", where);
  const Reader reader(config, where);
  const std::string type = reader.text("model_type", "");
  std::string known;
  for (const Row& row : kRows) {
    if (type == row.model_type) {
      ArchSpec spec = row.read(reader);
      spec.model_type = type;
      check(spec, where);
      return spec;
    }
    known += (known.empty() ? "" : ", ") + std::string(row.model_type);
  }
  base::fail("{}: model_type \"{}\" is not available yet (known: {})", where, type, known);
}

ArchSpec read_arch_spec(const std::filesystem::path& config_json) {
  const std::string text = base::read_text_file(config_json, size_t{16} << 20);
  json config;
  try {
    config = json::parse(text);
  } catch (const json::parse_error& error) {
    base::fail("{}: not valid JSON: {}", config_json.string(), error.what());
  }
  return parse_arch_spec(config, config_json.string());
}

}  // namespace deepspeed::models
