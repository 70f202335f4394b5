// Gemma 1 to 3 (text): RMS norms that count from one, scaled embeddings, GeGLU.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "deepspeed/base/error.h"
#include "deepspeed/models/families.h"
#include "deepspeed/models/rope_config.h"

namespace deepspeed::models {
namespace {

ArchSpec common(const ConfigReader& config, RmsDefaults defaults) {
  config.only("use_bidirectional_attention", false);
  defaults.head_dim = 256;
  defaults.padding_token = 0;
  defaults.tied = true;
  ArchSpec s = rms_family(config, defaults);
  s.norm = nn::NormKind::kRmsNormFromOne;
  s.activation = nn::Activation::kGeGluTanh;
  s.embedding_scale = std::sqrt(static_cast<double>(s.hidden));
  s.qkv_bias = s.output_bias = config.flag("attention_bias", false);
  return s;
}

// Norms before and after attention and MLP, scores with a scale of their own.
void second_generation(const ConfigReader& config, ArchSpec& s) {
  config.only("hidden_activation", "gelu_pytorch_tanh");
  s.attention_scale = 1 / std::sqrt(static_cast<double>(config.size("query_pre_attn_scalar", 256)));
  s.branch_norms = true;
  for (WeightName& name : s.names)
    if (std::strcmp(name.ours, "layers.{}.norm2.weight") == 0)
      name.hugging_face = "model.layers.{}.pre_feedforward_layernorm.weight";
  s.names.push_back({"layers.{}.attention_norm.weight", "model.layers.{}.post_attention_layernorm.weight"});
  s.names.push_back({"layers.{}.mlp_norm.weight", "model.layers.{}.post_feedforward_layernorm.weight"});
}

// Absent: `fallback`; null: none.
double softcap(const ConfigReader& config, const char* key, double fallback) {
  return config.is_null(key) ? 0 : config.number(key, fallback);
}

// Every `turn`-th layer sees all positions unless the configuration lists them.
std::vector<int64_t> windows(const ConfigReader& config, int64_t layers, int64_t turn) {
  const int64_t window = config.size("sliding_window", 4096);
  if (const auto listed = windows_by_type(config, layers, window)) return *listed;
  std::vector<int64_t> windows(static_cast<size_t>(layers), window);
  for (int64_t i = turn - 1; i < layers; i += turn) windows[static_cast<size_t>(i)] = 0;
  return windows;
}

// Of Gemma 3 every kind of layer has its own: rope_parameters names both; before, rope_theta and rope_scaling
// were those of the layers without a window, and rope_local_base_freq stood for the others.
Rope rope_of(const ConfigReader& config, const char* kind, const RopeKeys& keys, bool scaled, ArchSpec& s) {
  static const nlohmann::json kNothing = nlohmann::json::object();
  nlohmann::json parameters = kNothing;
  if (config.present("rope_parameters") && config.at("rope_parameters").contains(kind) &&
      config.at("rope_parameters")[kind].is_object())
    parameters = config.at("rope_parameters")[kind];
  if (scaled && config.present("rope_scaling")) parameters.update(config.at("rope_scaling"));
  read_rope_parameters(config, ConfigReader(parameters, config.where()),
                       std::string("rope_parameters.") + kind, keys, s);
  return s.rope;
}

}  // namespace

ArchSpec gemma(const ConfigReader& config) {
  ArchSpec s = common(config, {.vocab = 256000,
                               .hidden = 3072,
                               .layers = 28,
                               .heads = 16,
                               .intermediate = 24576,
                               .max_positions = 8192,
                               .kv_heads = 16});
  // The first releases say "gelu" and mean its tanh form, as transformers knows.
  if (config.text("hidden_act", "gelu") != "gelu") config.only("hidden_act", "gelu_pytorch_tanh");
  read_rope(config, {}, s);
  return s;
}

ArchSpec gemma2(const ConfigReader& config) {
  ArchSpec s = common(config, {.vocab = 256000,
                               .hidden = 2304,
                               .layers = 26,
                               .heads = 8,
                               .intermediate = 9216,
                               .max_positions = 8192,
                               .kv_heads = 4});
  second_generation(config, s);
  s.attention_softcap = softcap(config, "attn_logit_softcapping", 50);
  s.logit_softcap = softcap(config, "final_logit_softcapping", 30);
  s.windows = windows(config, s.layers, 2);
  read_rope(config, {}, s);
  return s;
}

// transformers' attention of Gemma 3 reads no attn_logit_softcapping.
ArchSpec gemma3(const ConfigReader& config) {
  config.only("attn_logit_softcapping", nullptr);
  ArchSpec s = common(config, {.vocab = 262208,
                               .hidden = 2304,
                               .layers = 26,
                               .heads = 8,
                               .intermediate = 9216,
                               .max_positions = 131072,
                               .kv_heads = 4});
  second_generation(config, s);
  s.head_norm = nn::NormKind::kRmsNormFromOne;
  s.logit_softcap = softcap(config, "final_logit_softcapping", 0);
  s.windows = windows(config, s.layers, config.size("sliding_window_pattern", 6));
  s.local_rope = rope_of(config, "sliding_attention", {.theta = "rope_local_base_freq"}, /*scaled=*/false, s);
  s.rope = {};
  rope_of(config, "full_attention", {.default_theta = 1000000}, /*scaled=*/true, s);
  return s;
}

}  // namespace deepspeed::models
