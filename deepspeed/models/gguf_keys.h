// The readers of gguf_config, one for each of llama.cpp's architectures. Private to it. Torch-free.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "deepspeed/formats/model_files.h"

namespace deepspeed::models {

/// The metadata's keys under the architecture's own name.
class GgufKeys {
 public:
  explicit GgufKeys(const formats::ModelFiles& files);

  const std::string& architecture() const { return architecture_; }
  const formats::ModelFiles& files() const { return files_; }
  bool has(const std::string& key) const { return all_.contains(prefix_ + key); }
  int64_t integer(const std::string& key) const { return all_.integer(prefix_ + key); }
  int64_t integer(const std::string& key, int64_t fallback) const {
    return has(key) ? integer(key) : fallback;
  }
  double number(const std::string& key) const { return all_.number(prefix_ + key); }
  bool flag(const std::string& key, bool fallback) const {
    return has(key) ? all_.boolean(prefix_ + key) : fallback;
  }
  std::string text(const std::string& key) const { return std::string(all_.text(prefix_ + key)); }
  /// Of a list of texts; none where there is no such key.
  std::vector<std::string> texts(const std::string& key) const;
  /// Of a list of flags; nothing where the key is no list.
  std::optional<std::vector<bool>> flags(const std::string& key) const;
  int64_t positive(const std::string& key) const;
  /// A head's share of the model's width.
  int64_t model_share() const { return positive("embedding_length") / positive("attention.head_count"); }
  int64_t head_dim() const {
    return has("attention.key_length") ? positive("attention.key_length") : model_share();
  }
  /// The share of a head that rotary positions turn, such that what readers round down is
  /// rope.dimension_count.
  double turned_share() const;
  /// "llama.block_count", for errors.
  std::string full(const std::string& key) const { return prefix_ + key; }

 private:
  const formats::ModelFiles& files_;
  const formats::GgufMetadata& all_;
  std::string architecture_, prefix_;
};

/// Each adds the family's keys to a config.json.
using GgufReader = void (*)(const GgufKeys&, nlohmann::json&);

// gguf_keys_rms.cpp
void gguf_rms_keys(const GgufKeys& keys, nlohmann::json& config);
void gguf_llama_keys(const GgufKeys& keys, nlohmann::json& config);
void gguf_phi3_keys(const GgufKeys& keys, nlohmann::json& config);
void gguf_gemma2_keys(const GgufKeys& keys, nlohmann::json& config);
void gguf_gemma3_keys(const GgufKeys& keys, nlohmann::json& config);
void gguf_qwen2_moe_keys(const GgufKeys& keys, nlohmann::json& config);

// gguf_keys_gpt.cpp
void gguf_gpt2_keys(const GgufKeys& keys, nlohmann::json& config);
void gguf_gptj_keys(const GgufKeys& keys, nlohmann::json& config);
void gguf_gpt_neox_keys(const GgufKeys& keys, nlohmann::json& config);
void gguf_bloom_keys(const GgufKeys& keys, nlohmann::json& config);
void gguf_falcon_keys(const GgufKeys& keys, nlohmann::json& config);
void gguf_phi_keys(const GgufKeys& keys, nlohmann::json& config);
void gguf_bert_keys(const GgufKeys& keys, nlohmann::json& config);

}  // namespace deepspeed::models
