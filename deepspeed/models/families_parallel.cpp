// Those whose attention and MLP can run side by side behind one norm: GPT-J, Phi, Falcon.
#include <cmath>
#include <iterator>
#include <limits>

#include "deepspeed/base/error.h"
#include "deepspeed/models/families.h"
#include "deepspeed/models/rope_config.h"

namespace deepspeed::models {
namespace {

constexpr WeightName kGptjNames[] = {
    {"embedding.weight", "transformer.wte.weight"},
    {"layers.{}.norm1.weight", "transformer.h.{}.ln_1.weight"},
    {"layers.{}.norm1.bias", "transformer.h.{}.ln_1.bias"},
    {"layers.{}.attention.query.weight", "transformer.h.{}.attn.q_proj.weight"},
    {"layers.{}.attention.key.weight", "transformer.h.{}.attn.k_proj.weight"},
    {"layers.{}.attention.value.weight", "transformer.h.{}.attn.v_proj.weight"},
    {"layers.{}.attention.output.weight", "transformer.h.{}.attn.out_proj.weight"},
    {"layers.{}.mlp.up.weight", "transformer.h.{}.mlp.fc_in.weight"},
    {"layers.{}.mlp.up.bias", "transformer.h.{}.mlp.fc_in.bias"},
    {"layers.{}.mlp.down.weight", "transformer.h.{}.mlp.fc_out.weight"},
    {"layers.{}.mlp.down.bias", "transformer.h.{}.mlp.fc_out.bias"},
    {"norm.weight", "transformer.ln_f.weight"},
    {"norm.bias", "transformer.ln_f.bias"},
    {"head.weight", "lm_head.weight"},
    {"head.bias", "lm_head.bias"}};

constexpr WeightName kPhiNames[] = {
    {"embedding.weight", "model.embed_tokens.weight"},
    {"layers.{}.norm1.weight", "model.layers.{}.input_layernorm.weight"},
    {"layers.{}.norm1.bias", "model.layers.{}.input_layernorm.bias"},
    {"layers.{}.attention.query.weight", "model.layers.{}.self_attn.q_proj.weight"},
    {"layers.{}.attention.query.bias", "model.layers.{}.self_attn.q_proj.bias"},
    {"layers.{}.attention.key.weight", "model.layers.{}.self_attn.k_proj.weight"},
    {"layers.{}.attention.key.bias", "model.layers.{}.self_attn.k_proj.bias"},
    {"layers.{}.attention.value.weight", "model.layers.{}.self_attn.v_proj.weight"},
    {"layers.{}.attention.value.bias", "model.layers.{}.self_attn.v_proj.bias"},
    {"layers.{}.attention.query_norm.weight", "model.layers.{}.self_attn.q_layernorm.weight"},
    {"layers.{}.attention.query_norm.bias", "model.layers.{}.self_attn.q_layernorm.bias"},
    {"layers.{}.attention.key_norm.weight", "model.layers.{}.self_attn.k_layernorm.weight"},
    {"layers.{}.attention.key_norm.bias", "model.layers.{}.self_attn.k_layernorm.bias"},
    {"layers.{}.attention.output.weight", "model.layers.{}.self_attn.dense.weight"},
    {"layers.{}.attention.output.bias", "model.layers.{}.self_attn.dense.bias"},
    {"layers.{}.mlp.up.weight", "model.layers.{}.mlp.fc1.weight"},
    {"layers.{}.mlp.up.bias", "model.layers.{}.mlp.fc1.bias"},
    {"layers.{}.mlp.down.weight", "model.layers.{}.mlp.fc2.weight"},
    {"layers.{}.mlp.down.bias", "model.layers.{}.mlp.fc2.bias"},
    {"norm.weight", "model.final_layernorm.weight"},
    {"norm.bias", "model.final_layernorm.bias"},
    {"head.weight", "lm_head.weight"},
    {"head.bias", "lm_head.bias"}};

constexpr WeightName kFalconNames[] = {
    {"embedding.weight", "transformer.word_embeddings.weight"},
    {"layers.{}.attention.qkv.weight", "transformer.h.{}.self_attention.query_key_value.weight",
     RowOrder::kByHead},
    {"layers.{}.attention.qkv.bias", "transformer.h.{}.self_attention.query_key_value.bias",
     RowOrder::kByHead},
    {"layers.{}.attention.output.weight", "transformer.h.{}.self_attention.dense.weight"},
    {"layers.{}.attention.output.bias", "transformer.h.{}.self_attention.dense.bias"},
    {"layers.{}.mlp.up.weight", "transformer.h.{}.mlp.dense_h_to_4h.weight"},
    {"layers.{}.mlp.up.bias", "transformer.h.{}.mlp.dense_h_to_4h.bias"},
    {"layers.{}.mlp.down.weight", "transformer.h.{}.mlp.dense_4h_to_h.weight"},
    {"layers.{}.mlp.down.bias", "transformer.h.{}.mlp.dense_4h_to_h.bias"},
    {"norm.weight", "transformer.ln_f.weight"},
    {"norm.bias", "transformer.ln_f.bias"},
    {"head.weight", "lm_head.weight"}};

constexpr WeightName kFalconNorms[] = {
    {"layers.{}.norm1.weight", "transformer.h.{}.input_layernorm.weight"},
    {"layers.{}.norm1.bias", "transformer.h.{}.input_layernorm.bias"},
    {"layers.{}.norm2.weight", "transformer.h.{}.post_attention_layernorm.weight"},
    {"layers.{}.norm2.bias", "transformer.h.{}.post_attention_layernorm.bias"}};
constexpr WeightName kFalconParallelNorms[] = {{"layers.{}.norm1.weight", "transformer.h.{}.ln_attn.weight"},
                                               {"layers.{}.norm1.bias", "transformer.h.{}.ln_attn.bias"},
                                               {"layers.{}.norm2.weight", "transformer.h.{}.ln_mlp.weight"},
                                               {"layers.{}.norm2.bias", "transformer.h.{}.ln_mlp.bias"}};

void append(ArchSpec& s, const WeightName* begin, const WeightName* end) {
  s.names.insert(s.names.end(), begin, end);
}

// Three generations: consecutive (falcon-rw), parallel behind one norm (7B), parallel behind two norms, with
// groups of queries (40B).
void falcon_layout(const ConfigReader& config, ArchSpec& s) {
  const bool grouped = config.flag("new_decoder_architecture", false);
  const bool parallel = config.flag("parallel_attn", true);
  const int64_t norms = config.size("num_ln_in_parallel_attn", grouped ? 2 : 1);
  DS_CHECK(norms <= 2 && (grouped || norms == 1) && (parallel || !grouped),
           "{}: 'num_ln_in_parallel_attn' = {} is not available with 'new_decoder_architecture' {} and "
           "'parallel_attn' {}",
           config.where(), norms, grouped, parallel);
  s.parallel_residual = parallel;
  s.shared_norm = parallel && norms == 1;
  if (grouped) {
    s.kv_heads = config.size("num_kv_heads", s.heads);
  } else {
    // transformers leaves num_kv_heads aside unless every head has keys of its own, and then breaks on fewer.
    s.kv_heads = config.flag("multi_query", true) ? 1 : s.heads;
    if (s.kv_heads > 1) config.only("num_kv_heads", s.heads);
  }
  if (norms == 2)
    append(s, std::begin(kFalconParallelNorms), std::end(kFalconParallelNorms));
  else
    append(s, std::begin(kFalconNorms), std::end(kFalconNorms));
}

}  // namespace

ArchSpec gptj(const ConfigReader& config) {
  ArchSpec s;
  s.vocab = config.size("vocab_size", 50400);
  s.hidden = config.size("n_embd", 4096);
  s.layers = config.size("n_layer", 28);
  s.heads = s.kv_heads = config.size("n_head", 16);
  s.head_dim = head_dim_of(config, s);
  s.intermediate = config.size("n_inner", 4 * s.hidden);
  s.max_positions = config.size("n_positions", 2048);
  s.norm_eps = config.number("layer_norm_epsilon", 1e-5);
  s.positions = Positions::kRotary;
  DS_CHECK(!config.is_null("rotary_dim"), "{}: 'rotary_dim' must be a number", config.where());
  s.rope = {.dim = config.size("rotary_dim", 64), .interleaved = true};
  s.activation = activation_of(config, "activation_function", "gelu_new");
  s.mlp_bias = s.head_bias = true;
  s.parallel_residual = s.shared_norm = true;
  s.tied_embeddings = config.flag("tie_word_embeddings", false);
  s.init_std = config.number("initializer_range", 0.02);
  s.embedding_dropout = config.probability("embd_pdrop", 0);
  s.attention_dropout = config.probability("attn_pdrop", 0);
  s.residual_dropout = config.probability("resid_pdrop", 0);
  s.name_prefix = "transformer.";
  s.names.assign(std::begin(kGptjNames), std::end(kGptjNames));
  return s;
}

ArchSpec phi(const ConfigReader& config) {
  ArchSpec s;
  s.vocab = config.size("vocab_size", 51200);
  s.hidden = config.size("hidden_size", 2048);
  s.layers = config.size("num_hidden_layers", 24);
  s.heads = config.size("num_attention_heads", 32);
  s.kv_heads = config.size("num_key_value_heads", s.heads);
  s.head_dim = head_dim_of(config, s);
  s.intermediate = config.size("intermediate_size", 8192);
  s.max_positions = config.size("max_position_embeddings", 2048);
  s.norm_eps = config.number("layer_norm_eps", 1e-5);
  s.positions = Positions::kRotary;
  read_rope(config, {.partial = "partial_rotary_factor", .default_partial = 0.5}, s);
  s.activation = activation_of(config, "hidden_act", "gelu_new");
  if (config.flag("qk_layernorm", false)) s.head_norm = nn::NormKind::kLayerNorm;
  s.qkv_bias = s.output_bias = s.mlp_bias = s.head_bias = true;
  s.parallel_residual = s.shared_norm = true;
  s.tied_embeddings = config.flag("tie_word_embeddings", false);
  s.padding_token = config.token("pad_token_id", std::nullopt, s.vocab);
  s.init_std = config.number("initializer_range", 0.02);
  s.embedding_dropout = config.probability("embd_pdrop", 0);
  s.attention_dropout = config.probability("attention_dropout", 0);
  s.residual_dropout = config.probability("resid_pdrop", 0);
  s.name_prefix = "model.";
  s.names.assign(std::begin(kPhiNames), std::end(kPhiNames));
  return s;
}

// transformers drops the sum of both branches at once, and probabilities with linear biases alone.
ArchSpec falcon(const ConfigReader& config) {
  for (const char* key : {"hidden_dropout", "attention_dropout"}) config.only(key, 0);
  ArchSpec s;
  s.vocab = config.size("vocab_size", 65024);
  s.hidden = config.size("n_embed", config.size("hidden_size", 4544));
  s.layers = config.size("num_hidden_layers", 32);
  s.heads = config.size("num_attention_heads", 71);
  s.head_dim = head_dim_of(config, s);
  s.intermediate = config.size("ffn_hidden_size", 4 * s.hidden);
  s.norm_eps = config.number("layer_norm_epsilon", 1e-5);
  if (config.flag("alibi", false)) {
    s.positions = Positions::kAlibi;
    s.alibi_scale = 1 / std::sqrt(static_cast<double>(s.head_dim));  // the scores' scale is theirs as well
    s.alibi_in_bf16 = true;
    s.max_positions = std::numeric_limits<int32_t>::max();  // linear biases have no last position
  } else {
    s.positions = Positions::kRotary;
    s.max_positions = config.size("max_position_embeddings", 2048);
    read_rope(config, {}, s);
  }
  s.activation = activation_of(config, "activation", "gelu");
  s.fused_qkv = true;
  s.qkv_bias = s.output_bias = s.mlp_bias = config.flag("bias", false);
  s.tied_embeddings = config.flag("tie_word_embeddings", true);
  s.init_std = config.number("initializer_range", 0.02);
  s.name_prefix = "transformer.";
  s.names.assign(std::begin(kFalconNames), std::end(kFalconNames));
  falcon_layout(config, s);
  return s;
}

}  // namespace deepspeed::models
