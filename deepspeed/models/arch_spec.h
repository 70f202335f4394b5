// A decoder architecture as a value. Every supported family is a row of the table in arch_spec.cpp: how its
// config.json is read, and how its Hugging Face weights are called. Models are built from the value alone.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "deepspeed/nn/mlp.h"
#include "deepspeed/nn/norm.h"
#include "deepspeed/nn/projection.h"

namespace deepspeed::models {

enum class Positions { kLearned, kRotary };

/// One parameter's name here and in Hugging Face files; "{}" stands for the layer.
struct WeightName {
  const char* ours;
  const char* hugging_face;
};

struct ArchSpec {
  std::string model_type;  // config.json's
  int64_t vocab = 0, hidden = 0, layers = 0, heads = 0, kv_heads = 0, head_dim = 0, intermediate = 0;
  int64_t max_positions = 0;

  nn::NormKind norm = nn::NormKind::kLayerNorm;
  double norm_eps = 1e-5;
  Positions positions = Positions::kLearned;
  double rope_theta = 10000;
  nn::Activation activation = nn::Activation::kGeluTanh;
  bool fused_qkv = false, qkv_bias = false, output_bias = false, mlp_bias = false;
  nn::WeightOrder order = nn::WeightOrder::kOutIn;
  bool tied_embeddings = true;

  double init_std = 0.02;
  bool scaled_residual_init = false;  // projections into the residual stream: std / sqrt(2 * layers)
  double embedding_dropout = 0, attention_dropout = 0, residual_dropout = 0;

  std::vector<WeightName> names;
  std::string name_prefix;  // what some files leave out in front of every name ("transformer.")

  /// Our parameter name ("layers.3.mlp.up.weight") in Hugging Face's spelling. Error when the table lacks it.
  std::string hugging_face_name(const std::string& ours) const;
};

/// Reads config.json. Errors name the file and key: unknown model_type, missing or impossible sizes, and
/// options that would change the arithmetic and are not built.
ArchSpec read_arch_spec(const std::filesystem::path& config_json);
ArchSpec parse_arch_spec(const nlohmann::json& config, const std::string& where);

}  // namespace deepspeed::models
