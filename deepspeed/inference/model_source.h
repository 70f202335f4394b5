// A model as it lies on the disk: its architecture, weights, tokenizer and what it says of its use.
#pragma once

#include <c10/core/ScalarType.h>

#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include "deepspeed/config/json.h"
#include "deepspeed/inference/config.h"
#include "deepspeed/models/quantized_files.h"
#include "deepspeed/models/weights.h"
#include "deepspeed/text/chat_template.h"
#include "deepspeed/text/tokenizer.h"

namespace deepspeed::inference {

struct ModelSource {
  std::filesystem::path path;  // a folder or a file
  models::ArchSpec spec;       // dropping nothing
  std::shared_ptr<const models::WeightSource> weights;
  std::shared_ptr<const models::QuantizedFiles> quantized;  // of linear layers stored so; null: of none
  at::ScalarType stored_type =
      at::kFloat;           // that most of the weights were trained in; fp32 for quantized ones
  config::Json config;      // config.json, or what GGUF metadata says instead
  config::Json generation;  // defaults of generation_config.h
  std::shared_ptr<const text::Tokenizer> tokenizer;  // null where the model has none
  std::optional<text::ChatTemplate> chat;
  std::optional<std::string> pooling;  // of an encoder in a GGUF file that says it (gguf_tokenizer.h)
  config::Json special_tokens;         // {"mask_token": "[MASK]", ...}
  size_t longest = 0;  // tokens that the tokenizer's configuration allows, or the model's positions

  /// Its id, or nothing where the model has no such token ("mask_token", "cls_token", "unk_token").
  std::optional<int32_t> special_token(const std::string& name) const;
};

/// `name`: a folder, a file of weights, or ORG/NAME in the Hugging Face cache. No weight is read. Errors say
/// what is missing or not understood.
ModelSource open_model(const std::string& name, const InferenceConfig& config = {});

}  // namespace deepspeed::inference
