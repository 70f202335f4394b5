// An architecture as a value. Every supported family is a row of the table in arch_spec.cpp: how its
// config.json is read, and how its Hugging Face weights are called. Models are built from the value alone.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "deepspeed/models/rope.h"
#include "deepspeed/models/weight_layout.h"
#include "deepspeed/nn/disentangled.h"
#include "deepspeed/nn/mlp.h"
#include "deepspeed/nn/norm.h"
#include "deepspeed/nn/projection.h"

namespace deepspeed::models {

enum class Positions { kLearned, kRotary, kAlibi, kRelative, kNone };

/// One parameter's name here and in Hugging Face files, there after ArchSpec::name_prefix where it begins
/// with a dot; "{}" stands for the layer, a second one for the expert. Several of ours may share one of
/// theirs, each holding the rows that its order names.
struct WeightName {
  const char* ours;
  const char* hugging_face;
  RowOrder rows = RowOrder::kSame;
  double added = 0;  // what the file's values are above ours
};

/// Feed-forward layers of experts (nn/moe.h), in place of dense ones.
struct Experts {
  int64_t count = 0, chosen = 0;    // count 0: the model has none
  int64_t intermediate = 0;         // of each
  int64_t shared_intermediate = 0;  // of the one that every token passes; 0: none
  bool normalised = false;          // the chosen ones' probabilities sum to one
  double balance = 0;               // factor of nn::balance_loss in the training loss; 0: it is not added
  std::vector<bool> layers;         // which layers have them; empty: all
};

/// Relative positions by buckets of distances (nn::RelativeBias).
struct RelativeBuckets {
  int64_t count = 32, max_distance = 128;
};

/// Disentangled attention (nn/disentangled.h).
struct Disentangled {
  nn::DistanceTable table;
  nn::DisentangledParts parts;
  bool norm = false;  // the table's rows pass the spec's norm
};

struct ArchSpec {
  std::string model_type;    // config.json's
  std::string architecture;  // transformers' class, for config.json of an export
  int64_t vocab = 0, hidden = 0, layers = 0, heads = 0, kv_heads = 0, head_dim = 0, intermediate = 0;
  int64_t max_positions = 0;

  nn::NormKind norm = nn::NormKind::kLayerNorm;
  double norm_eps = 1e-5;
  Positions positions = Positions::kLearned;
  RelativeBuckets buckets;                   // of relative positions
  std::optional<Disentangled> disentangled;  // beside `positions`
  int64_t position_offset = 0;               // rows of the learned table before position 0
  Rope rope;
  std::optional<Rope> local_rope;         // of the layers that have a window, where they turn otherwise
  double alibi_scale = 1;                 // of the slopes of linear biases
  bool alibi_in_bf16 = false;             // which are rounded to bf16 before
  std::vector<int64_t> windows;           // of each layer, 0: no window; empty: no layer has one
  std::optional<double> attention_scale;  // of the scores; nothing: 1/sqrt(head_dim)
  double attention_softcap = 0;           // of the scaled scores x: c tanh(x / c); 0: none
  double logit_softcap = 0;               // of the logits, likewise
  std::optional<nn::NormKind> head_norm;  // of every head's queries and of its keys
  nn::Activation activation = nn::Activation::kGeluTanh;
  bool fused_qkv = false, qkv_bias = false, output_bias = false, mlp_bias = false;
  nn::WeightOrder order = nn::WeightOrder::kOutIn;
  bool tied_embeddings = true;
  bool head_bias = false;          // of the vocabulary head
  double embedding_scale = 1;      // of what the token table gives
  bool embedding_norm = false;     // a norm right after the embedding
  bool parallel_residual = false;  // attention and MLP both read the layer's input
  bool shared_norm = false;        // through one norm; only with a parallel residual
  bool branch_norms = false;       // what attention and MLP give passes a norm of its own before it is added
  bool post_norm = false;          // norms after each residual sum, none before, none at the end
  bool bidirectional = false;      // an encoder: every position sees every other
  bool cross_attention = false;    // layers attend to an encoder's states, too, between attention and MLP
  double head_scale = 1;           // of what the vocabulary head reads
  int64_t token_types = 0;         // rows of the table of segment embeddings
  std::optional<int64_t> padding_token;  // its embedding starts as zero and gets no gradient from lookups

  Experts experts;

  // Of models of an encoder and a decoder (models/encoder_decoder.h), which this describes both.
  int64_t decoder_layers = 0;  // 0: it is another model; else `layers` are the encoder's
  int64_t decoder_start = 0;   // the token that every answer starts after
  int64_t label_padding = 0;   // what the decoder reads in the place of labels that do not count

  // Of encoders.
  bool counted_positions = false;  // positions count tokens that are not padding, from position_offset on;
                                   // padding stands before it
  int64_t embedding_width = 0;  // of all tables of embeddings, before a linear layer to `hidden`; 0: hidden
  std::vector<size_t> layer_order;  // which layer's turn it is, where some are used again; empty: each once
  bool drops_attention_output = true;  // residual_dropout acts on what attention gives
  bool drops_mlp_output = true;        // and on what the MLP gives

  // Of an encoder's heads. "{}" in `head_architecture` stands for "MaskedLM" and the like.
  std::string head_architecture;
  int64_t labels = 2;                               // classes; 1: a regression
  std::optional<nn::Activation> pooler_activation;  // nothing: tanh
  double pooler_dropout = 0;                        // of the pooler's input
  double classifier_dropout = 0, token_dropout = 0, answer_dropout = 0;
  std::vector<std::string> label_names;  // of the classes, where the configuration has them

  double init_std = 0.02;
  bool scaled_residual_init = false;  // projections into the residual stream: std / sqrt(2 * layers)
  bool fan_in_init = false;  // projections: std / sqrt(what they take), queries' also / sqrt(head_dim)
  double embedding_dropout = 0, attention_dropout = 0, residual_dropout = 0;
  double inner_dropout = 0;   // of what an MLP's activation gives
  double output_dropout = 0;  // of what the last norm gives
  std::string stack;          // in front of the names of dropout sites, where a model has several stacks

  std::vector<WeightName> names;
  std::string name_prefix;  // what some files leave out in front of every name ("transformer.")
  std::vector<std::pair<std::string, std::string>>
      older_endings;  // a name's end, and what older files call it
  std::vector<std::string>
      head_prefixes;  // our parameters that a file may lack: a head that is yet to be trained
  std::vector<std::string> other_heads;  // beginnings of Hugging Face names of further heads

  /// Whether a file may lack it.
  bool is_head(const std::string& ours) const;
  bool is_encoder_decoder() const { return decoder_layers > 0; }
  /// How many layers a token passes, those that are used again counted again.
  int64_t depth() const { return layer_order.empty() ? layers : static_cast<int64_t>(layer_order.size()); }
  int64_t window_of(size_t layer) const { return windows.empty() ? 0 : windows.at(layer); }
  bool has_experts(size_t layer) const {
    return experts.count > 0 && (experts.layers.empty() || experts.layers.at(layer));
  }
  HeadCounts head_counts() const { return {heads, kv_heads, head_dim}; }
  /// Our parameter name ("layers.3.mlp.up.weight") in Hugging Face's spelling. Error when the table lacks it.
  /// Experts whose tensors the file holds in one share its name.
  std::string hugging_face_name(const std::string& ours) const;
  /// Whether the file's tensor of that name belongs to a head, of which a model may have another: or it is
  /// the copy of a tied one.
  bool is_of_a_head(const std::string& hugging_face) const;
  std::string full_name(const WeightName& row) const;
  /// How the file's tensor of that name holds the parameter. Error when the table lacks it.
  RowOrder row_order(const std::string& ours) const;
  /// Whose parameter it is among the experts of its layer, where its row order is kExpertOfAll; else 0.
  int64_t place_in_file(const std::string& ours) const;
  /// WeightName::added of the parameter. Error when the table lacks it.
  double added(const std::string& ours) const;
};

/// Reads config.json. Errors name the file and key: unknown model_type, missing or impossible sizes, and
/// options that would change the arithmetic and are not built.
ArchSpec read_arch_spec(const std::filesystem::path& config_json);
ArchSpec parse_arch_spec(const nlohmann::json& config, const std::string& where);

}  // namespace deepspeed::models
