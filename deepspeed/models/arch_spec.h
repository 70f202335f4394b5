// An architecture as a value. Every supported family is a row of the table in arch_spec.cpp: how its
// config.json is read, and how its Hugging Face weights are called. Models are built from the value alone.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "deepspeed/models/weight_layout.h"
#include "deepspeed/nn/mlp.h"
#include "deepspeed/nn/norm.h"
#include "deepspeed/nn/projection.h"

namespace deepspeed::models {

enum class Positions { kLearned, kRotary, kAlibi };

/// One parameter's name here and in Hugging Face files; "{}" stands for the layer. Several of ours may share
/// one of theirs, each holding the rows that its order names.
struct WeightName {
  const char* ours;
  const char* hugging_face;
  RowOrder rows = RowOrder::kSame;
};

struct ArchSpec {
  std::string model_type;    // config.json's
  std::string architecture;  // transformers' class, for config.json of an export
  int64_t vocab = 0, hidden = 0, layers = 0, heads = 0, kv_heads = 0, head_dim = 0, intermediate = 0;
  int64_t max_positions = 0;

  nn::NormKind norm = nn::NormKind::kLayerNorm;
  double norm_eps = 1e-5;
  Positions positions = Positions::kLearned;
  int64_t position_offset = 0;  // rows of the learned table before position 0
  double rope_theta = 10000;
  int64_t rotary_dim = 0;        // leading elements of a head that rotary positions turn
  std::vector<int64_t> windows;  // of each layer, 0: no window; empty: no layer has one
  nn::Activation activation = nn::Activation::kGeluTanh;
  bool fused_qkv = false, qkv_bias = false, output_bias = false, mlp_bias = false;
  nn::WeightOrder order = nn::WeightOrder::kOutIn;
  bool tied_embeddings = true;
  bool embedding_norm = false;           // a norm right after the embedding
  bool parallel_residual = false;        // attention and MLP both read the layer's input
  bool post_norm = false;                // norms after each residual sum, none before, none at the end
  bool bidirectional = false;            // an encoder: every position sees every other
  int64_t token_types = 0;               // rows of the table of segment embeddings
  std::optional<int64_t> padding_token;  // its embedding starts as zero and gets no gradient from lookups

  // Of a sequence classifier's head.
  int64_t labels = 2;  // classes; 1: a regression
  double classifier_dropout = 0;
  std::vector<std::string> label_names;  // of the classes, where the configuration has them

  double init_std = 0.02;
  bool scaled_residual_init = false;  // projections into the residual stream: std / sqrt(2 * layers)
  double embedding_dropout = 0, attention_dropout = 0, residual_dropout = 0;

  std::vector<WeightName> names;
  std::string name_prefix;  // what some files leave out in front of every name ("transformer.")
  std::vector<std::pair<std::string, std::string>>
      older_endings;  // a name's end, and what older files call it
  std::vector<std::string>
      head_prefixes;  // our parameters that a file may lack: a head that is yet to be trained

  /// Whether a file may lack it.
  bool is_head(const std::string& ours) const;
  int64_t window_of(size_t layer) const { return windows.empty() ? 0 : windows.at(layer); }
  HeadCounts head_counts() const { return {heads, kv_heads}; }
  /// Our parameter name ("layers.3.mlp.up.weight") in Hugging Face's spelling. Error when the table lacks it.
  std::string hugging_face_name(const std::string& ours) const;
  /// How the file's tensor of that name holds the parameter. Error when the table lacks it.
  RowOrder row_order(const std::string& ours) const;
};

/// Reads config.json. Errors name the file and key: unknown model_type, missing or impossible sizes, and
/// options that would change the arithmetic and are not built.
ArchSpec read_arch_spec(const std::filesystem::path& config_json);
ArchSpec parse_arch_spec(const nlohmann::json& config, const std::string& where);

}  // namespace deepspeed::models
