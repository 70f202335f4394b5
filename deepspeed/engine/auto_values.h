// What "auto" stands for, key by key, as Hugging Face's integration fills it in (transformers,
// integrations/deepspeed.py). Torch-free.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>

#include "deepspeed/config/data_type.h"
#include "deepspeed/config/schema.h"

namespace deepspeed::engine {

/// What is known of a run beside its configuration.
struct AutoFacts {
  std::optional<int64_t> hidden_size;
  /// Optimizer steps of the whole training.
  std::optional<int64_t> total_steps;
  /// The format of the model's files.
  std::optional<config::DataType> model_dtype;
};

/// hidden_size and model_dtype from a Hugging Face config.json, as far as it has them. Errors: base::Error
/// for a file that cannot be read.
AutoFacts facts_of_model(const std::filesystem::path& config_json);

/// Gives the keys of the composed table that have a rule their Field::resolve_auto.
void add_auto_values(config::Table& root, const AutoFacts& facts);

}  // namespace deepspeed::engine
