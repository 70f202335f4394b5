// Those with layer norms in GGUF files: GPT-2, GPT-J, GPT-NeoX, BLOOM, Falcon, Phi-2, BERT.
#include "deepspeed/base/error.h"
#include "deepspeed/models/gguf_config.h"
#include "deepspeed/models/gguf_keys.h"

namespace deepspeed::models {
namespace {

using nlohmann::json;

// Under GPT-2's names for them.
void gpt_sizes(const GgufKeys& keys, json& config) {
  config["n_embd"] = keys.integer("embedding_length");
  config["n_layer"] = keys.integer("block_count");
  config["n_head"] = keys.integer("attention.head_count");
  config["n_inner"] = keys.integer("feed_forward_length");
  config["n_positions"] = keys.integer("context_length");
  config["layer_norm_epsilon"] = keys.number("attention.layer_norm_epsilon");
  for (const char* dropout : {"embd_pdrop", "attn_pdrop", "resid_pdrop"}) config[dropout] = 0;
}

// Under BERT's.
void sizes(const GgufKeys& keys, json& config) {
  config["hidden_size"] = keys.integer("embedding_length");
  config["num_hidden_layers"] = keys.integer("block_count");
  config["num_attention_heads"] = keys.integer("attention.head_count");
  config["intermediate_size"] = keys.integer("feed_forward_length");
  config["max_position_embeddings"] = keys.integer("context_length");
  // The families spell it in two ways.
  config["layer_norm_eps"] = config["layer_norm_epsilon"] = keys.number("attention.layer_norm_epsilon");
  if (keys.has("rope.freq_base")) config["rope_theta"] = keys.number("rope.freq_base");
}

}  // namespace

void gguf_gpt2_keys(const GgufKeys& keys, json& config) { gpt_sizes(keys, config); }

void gguf_gptj_keys(const GgufKeys& keys, json& config) {
  gpt_sizes(keys, config);
  config["rotary_dim"] = keys.positive("rope.dimension_count");
}

void gguf_gpt_neox_keys(const GgufKeys& keys, json& config) {
  sizes(keys, config);
  config["rotary_pct"] = keys.turned_share();
  if (config.contains("rope_theta")) config["rotary_emb_base"] = config["rope_theta"];
  config["use_parallel_residual"] = keys.flag("use_parallel_residual", true);
  config["attention_bias"] = keys.files().contains("blk.0.attn_qkv.bias");
}

void gguf_bloom_keys(const GgufKeys& keys, json& config) { sizes(keys, config); }

// All generations with rotary positions are the last one: with one key-value head or all of them, and with
// one norm before both branches or two.
void gguf_falcon_keys(const GgufKeys& keys, json& config) {
  sizes(keys, config);
  config["ffn_hidden_size"] = config["intermediate_size"];
  config["new_decoder_architecture"] = true;
  config["num_kv_heads"] = keys.integer("attention.head_count_kv", 1);
  config["num_ln_in_parallel_attn"] = keys.files().contains("blk.0.attn_norm_2.weight") ? 2 : 1;
  config["bias"] = keys.files().contains("blk.0.attn_qkv.bias");
}

void gguf_phi_keys(const GgufKeys& keys, json& config) {
  sizes(keys, config);
  config["num_key_value_heads"] = keys.integer("attention.head_count_kv", config["num_attention_heads"]);
  config["partial_rotary_factor"] = keys.turned_share();
}

// RoBERTa's table of positions begins with the first that is used, so that it is a BERT's.
void gguf_bert_keys(const GgufKeys& keys, json& config) {
  sizes(keys, config);
  DS_CHECK(!keys.flag("attention.causal", true),
           "{}: '{}' is not false: decoders with BERT's layers are not available yet",
           keys.files().source().string(), keys.full("attention.causal"));
  config["tie_word_embeddings"] = true;
  const auto labels = keys.texts("classifier.output_labels");
  for (size_t i = 0; i < labels.size(); ++i) config["id2label"][std::to_string(i)] = labels[i];
  if (labels.empty() && keys.files().contains("cls.output.weight"))
    config["num_labels"] = gguf_rows(keys.files(), "cls.output.weight");
}

}  // namespace deepspeed::models
