// Rotary positions as config.json describes them, in the spellings of all versions of transformers.
#pragma once

#include "deepspeed/models/arch_spec.h"
#include "deepspeed/models/config_reader.h"

namespace deepspeed::models {

/// What differs from family to family. The keys are those that stood beside each other once; transformers now
/// writes rope_parameters.
struct RopeKeys {
  const char* theta = "rope_theta";
  double default_theta = 10000;
  const char* partial = nullptr;  // null: the family turns whole heads
  double default_partial = 1;
  int64_t original_positions = 0;    // where config.json names none; 0: max_position_embeddings
  bool yarn_means_longrope = false;  // Phi-3 called it so
};

/// Fills spec.rope for the spec's head_dim; angles that grow with the sequence stretch max_positions by their
/// factor. Errors: unknown types, and missing or impossible parameters of them.
void read_rope(const ConfigReader& config, const RopeKeys& keys, ArchSpec& spec);

/// The same, from the object `parameters` (rope_scaling or an entry of rope_parameters, called `key`).
void read_rope_parameters(const ConfigReader& config, const ConfigReader& parameters, const std::string& key,
                          const RopeKeys& keys, ArchSpec& spec);

}  // namespace deepspeed::models
