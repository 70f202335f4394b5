// LLaMA and its kin: RMS norm, rotary positions, SwiGLU.
#include <algorithm>
#include <iterator>

#include "deepspeed/base/error.h"
#include "deepspeed/models/families.h"
#include "deepspeed/models/rope_config.h"

namespace deepspeed::models {
namespace {

constexpr WeightName kNames[] = {
    {"embedding.weight", "model.embed_tokens.weight"},
    {"layers.{}.norm1.weight", "model.layers.{}.input_layernorm.weight"},
    {"layers.{}.attention.query.weight", "model.layers.{}.self_attn.q_proj.weight"},
    {"layers.{}.attention.query.bias", "model.layers.{}.self_attn.q_proj.bias"},
    {"layers.{}.attention.key.weight", "model.layers.{}.self_attn.k_proj.weight"},
    {"layers.{}.attention.key.bias", "model.layers.{}.self_attn.k_proj.bias"},
    {"layers.{}.attention.value.weight", "model.layers.{}.self_attn.v_proj.weight"},
    {"layers.{}.attention.value.bias", "model.layers.{}.self_attn.v_proj.bias"},
    {"layers.{}.attention.query_norm.weight", "model.layers.{}.self_attn.q_norm.weight"},
    {"layers.{}.attention.key_norm.weight", "model.layers.{}.self_attn.k_norm.weight"},
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

constexpr WeightName kPhi3Names[] = {
    {"embedding.weight", "model.embed_tokens.weight"},
    {"layers.{}.norm1.weight", "model.layers.{}.input_layernorm.weight"},
    {"layers.{}.attention.qkv.weight", "model.layers.{}.self_attn.qkv_proj.weight"},
    {"layers.{}.attention.output.weight", "model.layers.{}.self_attn.o_proj.weight"},
    {"layers.{}.norm2.weight", "model.layers.{}.post_attention_layernorm.weight"},
    {"layers.{}.mlp.gate.weight", "model.layers.{}.mlp.gate_up_proj.weight", RowOrder::kFirstHalf},
    {"layers.{}.mlp.up.weight", "model.layers.{}.mlp.gate_up_proj.weight", RowOrder::kSecondHalf},
    {"layers.{}.mlp.down.weight", "model.layers.{}.mlp.down_proj.weight"},
    {"norm.weight", "model.norm.weight"},
    {"head.weight", "lm_head.weight"}};

// Every layer sees `fallback` positions unless the configuration says otherwise; 0: all of them.
void window_everywhere(const ConfigReader& config, int64_t fallback, ArchSpec& s) {
  const int64_t window = config.is_null("sliding_window") ? 0 : config.size("sliding_window", fallback);
  if (window > 0) s.windows.assign(static_cast<size_t>(s.layers), window);
}

std::vector<int64_t> qwen2_windows(const ConfigReader& config, int64_t layers) {
  if (!config.flag("use_sliding_window", false) || config.is_null("sliding_window")) return {};
  const int64_t window = config.size("sliding_window", 4096);
  if (const auto listed = windows_by_type(config, layers, window)) return *listed;
  std::vector<int64_t> windows(static_cast<size_t>(layers), 0);
  const auto full =
      static_cast<size_t>(std::min(layers, static_cast<int64_t>(config.number("max_window_layers", 28))));
  std::fill(windows.begin() + static_cast<std::ptrdiff_t>(full), windows.end(), window);
  return windows;
}

// What LLaMA, Mistral, Qwen and Phi-3 do all alike.
ArchSpec swiglu_family(const ConfigReader& config, const RmsDefaults& defaults, const RopeKeys& rope = {}) {
  config.only("hidden_act", "silu");
  ArchSpec s = rms_family(config, defaults);
  read_rope(config, rope, s);
  return s;
}

}  // namespace

ArchSpec rms_family(const ConfigReader& config, const RmsDefaults& d) {
  ArchSpec s;
  s.vocab = config.size("vocab_size", d.vocab);
  s.hidden = config.size("hidden_size", d.hidden);
  s.layers = config.size("num_hidden_layers", d.layers);
  s.heads = config.size("num_attention_heads", d.heads);
  const bool one_each = d.kv_heads == 0 || config.is_null("num_key_value_heads");
  s.kv_heads = config.size("num_key_value_heads", one_each ? s.heads : d.kv_heads);
  s.head_dim = config.size("head_dim", d.head_dim > 0 ? d.head_dim : s.hidden / s.heads);
  s.intermediate = config.size("intermediate_size", d.intermediate);
  s.max_positions = config.size("max_position_embeddings", d.max_positions);
  s.norm = nn::NormKind::kRmsNorm;
  s.norm_eps = config.number("rms_norm_eps", d.norm_eps);
  s.positions = Positions::kRotary;
  s.activation = nn::Activation::kSwiGlu;
  s.tied_embeddings = config.flag("tie_word_embeddings", d.tied);
  s.padding_token = config.token("pad_token_id", d.padding_token, s.vocab);
  s.init_std = config.number("initializer_range", 0.02);
  s.attention_dropout = config.probability("attention_dropout", 0);
  s.name_prefix = "model.";
  s.names.assign(std::begin(kNames), std::end(kNames));
  return s;
}

ArchSpec llama(const ConfigReader& config) {
  config.only("pretraining_tp", 1);
  ArchSpec s = swiglu_family(config, {.vocab = 32000,
                                      .hidden = 4096,
                                      .layers = 32,
                                      .heads = 32,
                                      .intermediate = 11008,
                                      .max_positions = 2048});
  s.qkv_bias = s.output_bias = config.flag("attention_bias", false);
  s.mlp_bias = config.flag("mlp_bias", false);
  return s;
}

ArchSpec mistral(const ConfigReader& config) {
  ArchSpec s = swiglu_family(config, {.vocab = 32000,
                                      .hidden = 4096,
                                      .layers = 32,
                                      .heads = 32,
                                      .intermediate = 14336,
                                      .max_positions = 131072,
                                      .kv_heads = 8});
  window_everywhere(config, 4096, s);
  return s;
}

ArchSpec qwen2(const ConfigReader& config) {
  ArchSpec s = swiglu_family(config, {.vocab = 151936,
                                      .hidden = 4096,
                                      .layers = 32,
                                      .heads = 32,
                                      .intermediate = 22016,
                                      .max_positions = 32768,
                                      .kv_heads = 32});
  s.qkv_bias = true;
  s.windows = qwen2_windows(config, s.layers);
  return s;
}

ArchSpec qwen3(const ConfigReader& config) {
  ArchSpec s = swiglu_family(config, {.vocab = 151936,
                                      .hidden = 4096,
                                      .layers = 32,
                                      .heads = 32,
                                      .intermediate = 22016,
                                      .max_positions = 32768,
                                      .kv_heads = 32,
                                      .head_dim = 128});
  s.qkv_bias = s.output_bias = config.flag("attention_bias", false);
  s.head_norm = nn::NormKind::kRmsNorm;
  s.windows = qwen2_windows(config, s.layers);
  return s;
}

// transformers reads embd_pdrop too and applies it nowhere.
ArchSpec phi3(const ConfigReader& config) {
  ArchSpec s = swiglu_family(
      config,
      {.vocab = 32064,
       .hidden = 3072,
       .layers = 32,
       .heads = 32,
       .intermediate = 8192,
       .max_positions = 4096,
       .norm_eps = 1e-5,
       .padding_token = 32000},
      {.partial = "partial_rotary_factor", .original_positions = 4096, .yarn_means_longrope = true});
  window_everywhere(config, 0, s);
  s.fused_qkv = true;
  s.residual_dropout = config.probability("resid_pdrop", 0);
  s.names.assign(std::begin(kPhi3Names), std::end(kPhi3Names));
  return s;
}

}  // namespace deepspeed::models
