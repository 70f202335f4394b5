// The rows of the table in arch_spec.cpp: one function a family, from its config.json to the spec. Defaults
// are those of transformers' configuration classes.
#pragma once

#include "deepspeed/models/arch_spec.h"
#include "deepspeed/models/config_reader.h"

namespace deepspeed::models {

ArchSpec bert(const ConfigReader& config);
ArchSpec gpt2(const ConfigReader& config);
ArchSpec gpt_neox(const ConfigReader& config);
ArchSpec opt(const ConfigReader& config);
ArchSpec bloom(const ConfigReader& config);
ArchSpec llama(const ConfigReader& config);
ArchSpec mistral(const ConfigReader& config);
ArchSpec qwen2(const ConfigReader& config);
ArchSpec phi3(const ConfigReader& config);

/// The spellings of rotary keys that transformers once wrote beside each other; it now writes
/// rope_parameters.
struct RopeKeys {
  const char* theta = "rope_theta";
  const char* partial = nullptr;  // null: the family turns whole heads
  double default_partial = 1;
};
/// Fills rope_theta and rotary_dim (of the spec's head_dim). Errors: scaled angles, which are not built.
void read_rope(const ConfigReader& config, const RopeKeys& keys, ArchSpec& spec);

/// An activation by transformers' name. Errors: those that are not built.
nn::Activation activation_of(const ConfigReader& config, const char* key, const std::string& fallback);

}  // namespace deepspeed::models
