// GPT-2 and those that keep its layer norms and two-matrix MLP: GPT-Neo, GPT-NeoX, OPT, BLOOM.
#include <iterator>
#include <limits>

#include "deepspeed/base/error.h"
#include "deepspeed/models/families.h"
#include "deepspeed/models/rope_config.h"

namespace deepspeed::models {
namespace {

constexpr WeightName kGpt2Names[] = {
    {"embedding.weight", "transformer.wte.weight"},
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

constexpr WeightName kGptNeoxNames[] = {
    {"embedding.weight", "gpt_neox.embed_in.weight"},
    {"layers.{}.norm1.weight", "gpt_neox.layers.{}.input_layernorm.weight"},
    {"layers.{}.norm1.bias", "gpt_neox.layers.{}.input_layernorm.bias"},
    {"layers.{}.attention.qkv.weight", "gpt_neox.layers.{}.attention.query_key_value.weight",
     RowOrder::kByHead},
    {"layers.{}.attention.qkv.bias", "gpt_neox.layers.{}.attention.query_key_value.bias", RowOrder::kByHead},
    {"layers.{}.attention.output.weight", "gpt_neox.layers.{}.attention.dense.weight"},
    {"layers.{}.attention.output.bias", "gpt_neox.layers.{}.attention.dense.bias"},
    {"layers.{}.norm2.weight", "gpt_neox.layers.{}.post_attention_layernorm.weight"},
    {"layers.{}.norm2.bias", "gpt_neox.layers.{}.post_attention_layernorm.bias"},
    {"layers.{}.mlp.up.weight", "gpt_neox.layers.{}.mlp.dense_h_to_4h.weight"},
    {"layers.{}.mlp.up.bias", "gpt_neox.layers.{}.mlp.dense_h_to_4h.bias"},
    {"layers.{}.mlp.down.weight", "gpt_neox.layers.{}.mlp.dense_4h_to_h.weight"},
    {"layers.{}.mlp.down.bias", "gpt_neox.layers.{}.mlp.dense_4h_to_h.bias"},
    {"norm.weight", "gpt_neox.final_layer_norm.weight"},
    {"norm.bias", "gpt_neox.final_layer_norm.bias"},
    {"head.weight", "embed_out.weight"}};

constexpr WeightName kOptNames[] = {
    {"embedding.weight", "model.decoder.embed_tokens.weight"},
    {"positions.weight", "model.decoder.embed_positions.weight"},
    {"layers.{}.norm1.weight", "model.decoder.layers.{}.self_attn_layer_norm.weight"},
    {"layers.{}.norm1.bias", "model.decoder.layers.{}.self_attn_layer_norm.bias"},
    {"layers.{}.attention.query.weight", "model.decoder.layers.{}.self_attn.q_proj.weight"},
    {"layers.{}.attention.query.bias", "model.decoder.layers.{}.self_attn.q_proj.bias"},
    {"layers.{}.attention.key.weight", "model.decoder.layers.{}.self_attn.k_proj.weight"},
    {"layers.{}.attention.key.bias", "model.decoder.layers.{}.self_attn.k_proj.bias"},
    {"layers.{}.attention.value.weight", "model.decoder.layers.{}.self_attn.v_proj.weight"},
    {"layers.{}.attention.value.bias", "model.decoder.layers.{}.self_attn.v_proj.bias"},
    {"layers.{}.attention.output.weight", "model.decoder.layers.{}.self_attn.out_proj.weight"},
    {"layers.{}.attention.output.bias", "model.decoder.layers.{}.self_attn.out_proj.bias"},
    {"layers.{}.norm2.weight", "model.decoder.layers.{}.final_layer_norm.weight"},
    {"layers.{}.norm2.bias", "model.decoder.layers.{}.final_layer_norm.bias"},
    {"layers.{}.mlp.up.weight", "model.decoder.layers.{}.fc1.weight"},
    {"layers.{}.mlp.up.bias", "model.decoder.layers.{}.fc1.bias"},
    {"layers.{}.mlp.down.weight", "model.decoder.layers.{}.fc2.weight"},
    {"layers.{}.mlp.down.bias", "model.decoder.layers.{}.fc2.bias"},
    {"norm.weight", "model.decoder.final_layer_norm.weight"},
    {"norm.bias", "model.decoder.final_layer_norm.bias"},
    {"head.weight", "lm_head.weight"}};

constexpr WeightName kBloomNames[] = {
    {"embedding.weight", "transformer.word_embeddings.weight"},
    {"embedding_norm.weight", "transformer.word_embeddings_layernorm.weight"},
    {"embedding_norm.bias", "transformer.word_embeddings_layernorm.bias"},
    {"layers.{}.norm1.weight", "transformer.h.{}.input_layernorm.weight"},
    {"layers.{}.norm1.bias", "transformer.h.{}.input_layernorm.bias"},
    {"layers.{}.attention.qkv.weight", "transformer.h.{}.self_attention.query_key_value.weight",
     RowOrder::kByHead},
    {"layers.{}.attention.qkv.bias", "transformer.h.{}.self_attention.query_key_value.bias",
     RowOrder::kByHead},
    {"layers.{}.attention.output.weight", "transformer.h.{}.self_attention.dense.weight"},
    {"layers.{}.attention.output.bias", "transformer.h.{}.self_attention.dense.bias"},
    {"layers.{}.norm2.weight", "transformer.h.{}.post_attention_layernorm.weight"},
    {"layers.{}.norm2.bias", "transformer.h.{}.post_attention_layernorm.bias"},
    {"layers.{}.mlp.up.weight", "transformer.h.{}.mlp.dense_h_to_4h.weight"},
    {"layers.{}.mlp.up.bias", "transformer.h.{}.mlp.dense_h_to_4h.bias"},
    {"layers.{}.mlp.down.weight", "transformer.h.{}.mlp.dense_4h_to_h.weight"},
    {"layers.{}.mlp.down.bias", "transformer.h.{}.mlp.dense_4h_to_h.bias"},
    {"norm.weight", "transformer.ln_f.weight"},
    {"norm.bias", "transformer.ln_f.bias"},
    {"head.weight", "lm_head.weight"}};

constexpr WeightName kGptNeoNames[] = {
    {"embedding.weight", "transformer.wte.weight"},
    {"positions.weight", "transformer.wpe.weight"},
    {"layers.{}.norm1.weight", "transformer.h.{}.ln_1.weight"},
    {"layers.{}.norm1.bias", "transformer.h.{}.ln_1.bias"},
    {"layers.{}.attention.query.weight", "transformer.h.{}.attn.attention.q_proj.weight"},
    {"layers.{}.attention.key.weight", "transformer.h.{}.attn.attention.k_proj.weight"},
    {"layers.{}.attention.value.weight", "transformer.h.{}.attn.attention.v_proj.weight"},
    {"layers.{}.attention.output.weight", "transformer.h.{}.attn.attention.out_proj.weight"},
    {"layers.{}.attention.output.bias", "transformer.h.{}.attn.attention.out_proj.bias"},
    {"layers.{}.norm2.weight", "transformer.h.{}.ln_2.weight"},
    {"layers.{}.norm2.bias", "transformer.h.{}.ln_2.bias"},
    {"layers.{}.mlp.up.weight", "transformer.h.{}.mlp.c_fc.weight"},
    {"layers.{}.mlp.up.bias", "transformer.h.{}.mlp.c_fc.bias"},
    {"layers.{}.mlp.down.weight", "transformer.h.{}.mlp.c_proj.weight"},
    {"layers.{}.mlp.down.bias", "transformer.h.{}.mlp.c_proj.bias"},
    {"norm.weight", "transformer.ln_f.weight"},
    {"norm.bias", "transformer.ln_f.bias"},
    {"head.weight", "lm_head.weight"}};

// attention_types lists [kinds, repetitions], e.g. [[["global", "local"], 12]]: the kinds of the layers, in
// turn.
std::vector<int64_t> gpt_neo_windows(const ConfigReader& config, int64_t layers) {
  const int64_t window = config.size("window_size", 256);
  const auto turns = config.present("attention_types")
                         ? config.at("attention_types")
                         : nlohmann::json::parse(R"([[["global", "local"], 12]])");
  const auto wrong = [&]() -> void {
    base::fail("{}: 'attention_types' must be like [[[\"global\", \"local\"], 12]] and make {} layers of it",
               config.where(), layers);
  };
  std::vector<int64_t> windows;
  if (!turns.is_array()) wrong();
  for (const auto& turn : turns) {
    if (!turn.is_array() || turn.size() != 2 || !turn[0].is_array() || !turn[1].is_number_integer() ||
        turn[1] < 0 || turn[1] > layers)
      wrong();
    for (int64_t i = 0; i < turn[1].get<int64_t>(); ++i)
      for (const auto& kind : turn[0]) {
        if (kind != "global" && kind != "local") wrong();
        windows.push_back(kind == "local" ? window : 0);
      }
  }
  if (windows.size() != static_cast<size_t>(layers)) wrong();
  return windows;
}

}  // namespace

ArchSpec gpt2(const ConfigReader& config) {
  for (const char* key :
       {"scale_attn_by_inverse_layer_idx", "reorder_and_upcast_attn", "add_cross_attention"})
    config.only(key, false);
  config.only("scale_attn_weights", true);
  ArchSpec s;
  s.vocab = config.size("vocab_size", 50257);
  s.hidden = config.size("n_embd", 768);
  s.layers = config.size("n_layer", 12);
  s.heads = s.kv_heads = config.size("n_head", 12);
  s.head_dim = head_dim_of(config, s);
  s.intermediate = config.size("n_inner", 4 * s.hidden);
  s.max_positions = config.size("n_positions", 1024);
  s.norm_eps = config.number("layer_norm_epsilon", 1e-5);
  s.activation = activation_of(config, "activation_function", "gelu_new");
  s.fused_qkv = s.qkv_bias = s.output_bias = s.mlp_bias = true;
  s.order = nn::WeightOrder::kInOut;
  s.tied_embeddings = config.flag("tie_word_embeddings", true);
  s.init_std = config.number("initializer_range", 0.02);
  s.scaled_residual_init = true;
  s.embedding_dropout = config.probability("embd_pdrop", 0.1);
  s.attention_dropout = config.probability("attn_pdrop", 0.1);
  s.residual_dropout = config.probability("resid_pdrop", 0.1);
  s.name_prefix = "transformer.";
  s.names.assign(std::begin(kGpt2Names), std::end(kGpt2Names));
  return s;
}

ArchSpec gpt_neo(const ConfigReader& config) {
  ArchSpec s;
  s.vocab = config.size("vocab_size", 50257);
  s.hidden = config.size("hidden_size", 2048);
  s.layers = config.size("num_layers", 24);
  s.heads = s.kv_heads = config.size("num_heads", 16);
  s.head_dim = head_dim_of(config, s);
  s.intermediate = config.size("intermediate_size", 4 * s.hidden);
  s.max_positions = config.size("max_position_embeddings", 2048);
  s.windows = gpt_neo_windows(config, s.layers);
  s.attention_scale = 1;
  s.norm_eps = config.number("layer_norm_epsilon", 1e-5);
  s.activation = activation_of(config, "activation_function", "gelu_new");
  s.output_bias = s.mlp_bias = true;
  s.tied_embeddings = config.flag("tie_word_embeddings", true);
  s.init_std = config.number("initializer_range", 0.02);
  s.embedding_dropout = config.probability("embed_dropout", 0);
  s.attention_dropout = config.probability("attention_dropout", 0);
  s.residual_dropout = config.probability("resid_dropout", 0);
  s.name_prefix = "transformer.";
  s.names.assign(std::begin(kGptNeoNames), std::end(kGptNeoNames));
  return s;
}

ArchSpec gpt_neox(const ConfigReader& config) {
  ArchSpec s;
  s.vocab = config.size("vocab_size", 50432);
  s.hidden = config.size("hidden_size", 6144);
  s.layers = config.size("num_hidden_layers", 44);
  s.heads = s.kv_heads = config.size("num_attention_heads", 64);
  s.head_dim = head_dim_of(config, s);
  s.intermediate = config.size("intermediate_size", 24576);
  s.max_positions = config.size("max_position_embeddings", 2048);
  s.norm_eps = config.number("layer_norm_eps", 1e-5);
  s.positions = Positions::kRotary;
  read_rope(config, {.theta = "rotary_emb_base", .partial = "rotary_pct", .default_partial = 0.25}, s);
  s.activation = activation_of(config, "hidden_act", "gelu");
  s.parallel_residual = config.flag("use_parallel_residual", true);
  s.fused_qkv = s.mlp_bias = true;
  s.qkv_bias = s.output_bias = config.flag("attention_bias", true);
  s.tied_embeddings = config.flag("tie_word_embeddings", false);
  s.init_std = config.number("initializer_range", 0.02);
  s.embedding_dropout = s.residual_dropout = config.probability("hidden_dropout", 0);
  s.attention_dropout = config.probability("attention_dropout", 0);
  s.name_prefix = "gpt_neox.";
  s.names.assign(std::begin(kGptNeoxNames), std::end(kGptNeoxNames));
  return s;
}

ArchSpec opt(const ConfigReader& config) {
  config.only("do_layer_norm_before", true);
  config.only("_remove_final_layer_norm", false);
  config.only("layer_norm_elementwise_affine", true);
  DS_CHECK(config.number("layerdrop", 0) == 0, "{}: 'layerdrop' is not available yet (only 0)",
           config.where());
  ArchSpec s;
  s.vocab = config.size("vocab_size", 50272);
  s.hidden = config.size("hidden_size", 768);
  config.only("word_embed_proj_dim", s.hidden);
  s.layers = config.size("num_hidden_layers", 12);
  s.heads = s.kv_heads = config.size("num_attention_heads", 12);
  s.head_dim = head_dim_of(config, s);
  s.intermediate = config.size("ffn_dim", 3072);
  s.max_positions = config.size("max_position_embeddings", 2048);
  s.position_offset = 2;
  s.activation = activation_of(config, "activation_function", "relu");
  s.qkv_bias = s.output_bias = s.mlp_bias = config.flag("enable_bias", true);
  s.tied_embeddings = config.flag("tie_word_embeddings", true);
  s.padding_token = config.token("pad_token_id", 1, s.vocab);
  s.init_std = config.number("init_std", 0.02);
  s.attention_dropout = config.probability("attention_dropout", 0);
  s.residual_dropout = config.probability("dropout", 0.1);
  s.name_prefix = "model.";
  s.names.assign(std::begin(kOptNames), std::end(kOptNames));
  return s;
}

ArchSpec bloom(const ConfigReader& config) {
  config.only("apply_residual_connection_post_layernorm", false);
  ArchSpec s;
  s.vocab = config.size("vocab_size", 250880);
  s.hidden = config.size("n_embed", config.size("hidden_size", 64));
  s.layers = config.size("n_layer", config.size("num_hidden_layers", 2));
  s.heads = s.kv_heads = config.size("n_head", config.size("num_attention_heads", 8));
  s.head_dim = head_dim_of(config, s);
  s.intermediate = 4 * s.hidden;
  s.max_positions = std::numeric_limits<int32_t>::max();  // linear biases have no last position
  s.norm_eps = config.number("layer_norm_epsilon", 1e-5);
  s.positions = Positions::kAlibi;
  s.embedding_norm = true;
  s.fused_qkv = s.qkv_bias = s.output_bias = s.mlp_bias = true;
  s.tied_embeddings = config.flag("tie_word_embeddings", true);
  s.init_std = config.number("initializer_range", 0.02);
  s.attention_dropout = config.probability("attention_dropout", 0);
  s.residual_dropout = config.probability("hidden_dropout", 0);
  s.name_prefix = "transformer.";
  s.names.assign(std::begin(kBloomNames), std::end(kBloomNames));
  return s;
}

}  // namespace deepspeed::models
