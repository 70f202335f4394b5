// LLaMA and its kin in GGUF files: RMS norms, gated layers, experts.
#include <utility>

#include "deepspeed/base/error.h"
#include "deepspeed/models/gguf_config.h"
#include "deepspeed/models/gguf_keys.h"

namespace deepspeed::models {

std::vector<double> floats_of(const formats::ModelFiles& files, const std::string& name) {
  const auto& tensor = files.tensor(name);
  std::vector<float> values(tensor.elements());
  formats::read_floats(tensor, 0, values.size(), values.data());
  return {values.begin(), values.end()};
}

namespace {

using nlohmann::json;

json scaling_of(const GgufKeys& keys) {
  json scaling = json::object();
  const std::string type = keys.has("rope.scaling.type") ? keys.text("rope.scaling.type") : "none";
  if (type == "none") {
    // As it was spelled first.
    if (keys.has("rope.scale_linear") && keys.number("rope.scale_linear") != 1)
      return {{"rope_type", "linear"}, {"factor", keys.number("rope.scale_linear")}};
    return scaling;
  }
  scaling["rope_type"] = type;
  for (const auto& [key, theirs] :
       {std::pair("factor", "rope.scaling.factor"), std::pair("attention_factor", "rope.scaling.attn_factor"),
        std::pair("attention_factor", "rope.scaling.yarn_attn_factor"),
        std::pair("beta_fast", "rope.scaling.yarn_beta_fast"),
        std::pair("beta_slow", "rope.scaling.yarn_beta_slow")})
    if (keys.has(theirs)) scaling[key] = keys.number(theirs);
  if (keys.has("rope.scaling.original_context_length"))
    scaling["original_max_position_embeddings"] = keys.integer("rope.scaling.original_context_length");
  return scaling;
}

// How many experts there are, which the first layer's router must know as well.
int64_t expert_count(const GgufKeys& keys) {
  const int64_t count = keys.positive("expert_count"),
                known = gguf_rows(keys.files(), "blk.0.ffn_gate_inp.weight");
  DS_CHECK(known == count, "{}: '{}' is {}, but 'blk.0.ffn_gate_inp.weight' has {} rows",
           keys.files().source().string(), keys.full("expert_count"), count, known);
  return count;
}

// The largest of a generation scales scores by the width of a head's share of the model.
void gemma_scale(const GgufKeys& keys, int64_t largest, json& config) {
  config["query_pre_attn_scalar"] =
      keys.integer("block_count") == largest ? keys.model_share() : keys.head_dim();
}

}  // namespace

void gguf_rms_keys(const GgufKeys& keys, json& config) {
  config["hidden_size"] = keys.integer("embedding_length");
  config["num_hidden_layers"] = keys.integer("block_count");
  config["num_attention_heads"] = keys.integer("attention.head_count");
  config["num_key_value_heads"] = keys.integer("attention.head_count_kv", config["num_attention_heads"]);
  config["head_dim"] = keys.head_dim();
  config["intermediate_size"] = keys.integer("feed_forward_length");
  config["max_position_embeddings"] = keys.integer("context_length");
  config["rms_norm_eps"] = keys.number("attention.layer_norm_rms_epsilon");
  if (keys.has("rope.freq_base")) config["rope_theta"] = keys.number("rope.freq_base");
  if (const json scaling = scaling_of(keys); !scaling.empty()) config["rope_scaling"] = scaling;
  config["attention_bias"] = keys.files().contains("blk.0.attn_q.bias");
}

// Mistral and Mixtral go by the same name.
void gguf_llama_keys(const GgufKeys& keys, json& config) {
  gguf_rms_keys(keys, config);
  config["mlp_bias"] = keys.files().contains("blk.0.ffn_gate.bias");
  if (keys.has("attention.sliding_window")) {
    config["model_type"] = "mistral";
    config["sliding_window"] = keys.integer("attention.sliding_window");
  }
  if (keys.integer("expert_count", 0) == 0) return;
  config["model_type"] = "mixtral";
  config["num_local_experts"] = expert_count(keys);
  config["num_experts_per_tok"] = keys.positive("expert_used_count");
}

// Whether the chosen experts' shares sum to one is not said; llama.cpp takes it that they do not.
void gguf_qwen2_moe_keys(const GgufKeys& keys, json& config) {
  gguf_rms_keys(keys, config);
  const int64_t chosen = keys.positive("expert_used_count"), wide = keys.positive("feed_forward_length");
  config["num_experts"] = expert_count(keys);
  config["num_experts_per_tok"] = chosen;
  config["moe_intermediate_size"] = keys.integer("expert_feed_forward_length", wide / chosen);
  config["shared_expert_intermediate_size"] = keys.integer("expert_shared_feed_forward_length", wide);
  config["norm_topk_prob"] = keys.flag("expert_weights_norm", false);
  config["qkv_bias"] = config["attention_bias"];
}

void gguf_phi3_keys(const GgufKeys& keys, json& config) {
  gguf_rms_keys(keys, config);
  const int64_t window = keys.integer("attention.sliding_window", 0);
  config["sliding_window"] = window > 0 ? json(window) : json(nullptr);
  config["partial_rotary_factor"] = keys.turned_share();
  const formats::ModelFiles& files = keys.files();
  if (!files.contains("rope_factors_long.weight")) return;
  json& scaling = config["rope_scaling"];
  scaling["rope_type"] = "longrope";
  scaling["long_factor"] = floats_of(files, "rope_factors_long.weight");
  scaling["short_factor"] = floats_of(files, "rope_factors_short.weight");
  const int64_t original = keys.positive("rope.scaling.original_context_length");
  config["original_max_position_embeddings"] = original;
  scaling["factor"] = static_cast<double>(keys.positive("context_length")) / static_cast<double>(original);
}

void gguf_gemma2_keys(const GgufKeys& keys, json& config) {
  gguf_rms_keys(keys, config);
  gemma_scale(keys, 46, config);
  config["sliding_window"] = keys.integer("attention.sliding_window", 4096);
  for (const char* key : {"attn_logit_softcapping", "final_logit_softcapping"})
    if (keys.has(key)) config[key] = keys.number(key);
}

void gguf_gemma3_keys(const GgufKeys& keys, json& config) {
  gguf_rms_keys(keys, config);
  gemma_scale(keys, 62, config);
  if (keys.has("final_logit_softcapping"))
    config["final_logit_softcapping"] = keys.number("final_logit_softcapping");
  config["sliding_window"] = keys.integer("attention.sliding_window");
  const char* pattern = "attention.sliding_window_pattern";
  if (const auto windowed = keys.flags(pattern)) {
    for (const bool one : *windowed)
      config["layer_types"].push_back(one ? "sliding_attention" : "full_attention");
  } else if (keys.has(pattern)) {
    config["sliding_window_pattern"] = keys.integer(pattern);
  }
  if (keys.has("rope.freq_base_swa")) config["rope_local_base_freq"] = keys.number("rope.freq_base_swa");
}

}  // namespace deepspeed::models
