// DeBERTa of versions 2 and 3 (He et al. 2021, 2023): attention between contents and relative positions.
#include <algorithm>
#include <cmath>
#include <iterator>
#include <set>
#include <string>

#include "deepspeed/base/error.h"
#include "deepspeed/models/families.h"

namespace deepspeed::models {
namespace {

constexpr WeightName kNames[] = {
    {"encoder.embedding.weight", ".embeddings.word_embeddings.weight"},
    {"encoder.positions.weight", ".embeddings.position_embeddings.weight"},
    {"encoder.token_types.weight", ".embeddings.token_type_embeddings.weight"},
    {"encoder.embedding_norm.weight", ".embeddings.LayerNorm.weight"},
    {"encoder.embedding_norm.bias", ".embeddings.LayerNorm.bias"},
    {"encoder.distances.weight", ".encoder.rel_embeddings.weight"},
    {"encoder.distance_norm.weight", ".encoder.LayerNorm.weight"},
    {"encoder.distance_norm.bias", ".encoder.LayerNorm.bias"},
#define DS_DEBERTA ".encoder.layer.{}."
    {"encoder.layers.{}.attention.query.weight", DS_DEBERTA "attention.self.query_proj.weight"},
    {"encoder.layers.{}.attention.query.bias", DS_DEBERTA "attention.self.query_proj.bias"},
    {"encoder.layers.{}.attention.key.weight", DS_DEBERTA "attention.self.key_proj.weight"},
    {"encoder.layers.{}.attention.key.bias", DS_DEBERTA "attention.self.key_proj.bias"},
    {"encoder.layers.{}.attention.value.weight", DS_DEBERTA "attention.self.value_proj.weight"},
    {"encoder.layers.{}.attention.value.bias", DS_DEBERTA "attention.self.value_proj.bias"},
    {"encoder.layers.{}.attention.distance_key.weight", DS_DEBERTA "attention.self.pos_key_proj.weight"},
    {"encoder.layers.{}.attention.distance_key.bias", DS_DEBERTA "attention.self.pos_key_proj.bias"},
    {"encoder.layers.{}.attention.distance_query.weight", DS_DEBERTA "attention.self.pos_query_proj.weight"},
    {"encoder.layers.{}.attention.distance_query.bias", DS_DEBERTA "attention.self.pos_query_proj.bias"},
    {"encoder.layers.{}.attention.output.weight", DS_DEBERTA "attention.output.dense.weight"},
    {"encoder.layers.{}.attention.output.bias", DS_DEBERTA "attention.output.dense.bias"},
    {"encoder.layers.{}.norm1.weight", DS_DEBERTA "attention.output.LayerNorm.weight"},
    {"encoder.layers.{}.norm1.bias", DS_DEBERTA "attention.output.LayerNorm.bias"},
    {"encoder.layers.{}.mlp.up.weight", DS_DEBERTA "intermediate.dense.weight"},
    {"encoder.layers.{}.mlp.up.bias", DS_DEBERTA "intermediate.dense.bias"},
    {"encoder.layers.{}.mlp.down.weight", DS_DEBERTA "output.dense.weight"},
    {"encoder.layers.{}.mlp.down.bias", DS_DEBERTA "output.dense.bias"},
    {"encoder.layers.{}.norm2.weight", DS_DEBERTA "output.LayerNorm.weight"},
    {"encoder.layers.{}.norm2.bias", DS_DEBERTA "output.LayerNorm.bias"},
#undef DS_DEBERTA
    {"pooler.weight", "pooler.dense.weight"},
    {"pooler.bias", "pooler.dense.bias"},
    {"classifier.weight", "classifier.weight"},
    {"classifier.bias", "classifier.bias"},
    {"token_classifier.weight", "classifier.weight"},
    {"token_classifier.bias", "classifier.bias"},
    {"answer.weight", "qa_outputs.weight"},
    {"answer.bias", "qa_outputs.bias"}};

// transformers' "legacy" head, which is BERT's, and the one that the models were trained with.
constexpr WeightName kLegacyHead[] = {{"head.transform.weight", "cls.predictions.transform.dense.weight"},
                                      {"head.transform.bias", "cls.predictions.transform.dense.bias"},
                                      {"head.norm.weight", "cls.predictions.transform.LayerNorm.weight"},
                                      {"head.norm.bias", "cls.predictions.transform.LayerNorm.bias"},
                                      {"head.decoder.weight", "cls.predictions.decoder.weight"},
                                      {"head.bias", "cls.predictions.bias"}};
constexpr WeightName kHead[] = {{"head.transform.weight", "lm_predictions.lm_head.dense.weight"},
                                {"head.transform.bias", "lm_predictions.lm_head.dense.bias"},
                                {"head.norm.weight", "lm_predictions.lm_head.LayerNorm.weight"},
                                {"head.norm.bias", "lm_predictions.lm_head.LayerNorm.bias"},
                                {"head.bias", "lm_predictions.lm_head.bias"}};

// "c2p|p2c", or a list of them.
std::set<std::string> parts_of(const ConfigReader& config) {
  std::set<std::string> parts;
  const auto add = [&](std::string part) {
    std::erase(part, ' ');
    DS_CHECK(part == "c2p" || part == "p2c",
             "{}: 'pos_att_type' names \"{}\", which is not available yet (c2p, p2c)", config.where(), part);
    parts.insert(part);
  };
  if (!config.present("pos_att_type")) return parts;
  const auto& given = config.at("pos_att_type");
  if (given.is_array()) {
    for (const auto& part : given) add(part.is_string() ? part.get<std::string>() : part.dump());
    return parts;
  }
  const std::string text = config.text("pos_att_type", "");
  for (size_t begin = 0; begin <= text.size();) {
    const size_t end = std::min(text.find('|', begin), text.size());
    add(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return parts;
}

int64_t positive_or(const ConfigReader& config, const char* key, int64_t otherwise) {
  return config.number(key, -1) < 1 ? otherwise : config.size(key);
}

Disentangled read_disentangled(const ConfigReader& config, int64_t positions) {
  Disentangled out;
  const auto parts = parts_of(config);
  DS_CHECK(!parts.empty(), "{}: 'relative_attention' without 'pos_att_type' is not available yet (c2p, p2c)",
           config.where());
  out.parts = {.content_to_position = parts.contains("c2p"),
               .position_to_content = parts.contains("p2c"),
               .shared_projections = config.flag("share_att_key", false)};
  out.table.max_distance = positive_or(config, "max_relative_positions", positions);
  const int64_t buckets = positive_or(config, "position_buckets", 0);
  out.table.buckets = buckets > 0;
  out.table.span = buckets > 0 ? buckets : out.table.max_distance;
  const std::string norm = config.text("norm_rel_ebd", "none");
  DS_CHECK(norm == "none" || norm == "layer_norm",
           "{}: 'norm_rel_ebd' \"{}\" is not available yet (none, layer_norm)", config.where(), norm);
  out.norm = norm == "layer_norm";
  return out;
}

void read_sizes(const ConfigReader& config, ArchSpec& s) {
  s.hidden = config.size("hidden_size", 1536);
  s.layers = config.size("num_hidden_layers", 24);
  s.heads = s.kv_heads = config.size("num_attention_heads", 24);
  s.head_dim = head_dim_of(config, s);
  s.intermediate = config.size("intermediate_size", 6144);
  s.token_types = config.number("type_vocab_size", 0) == 0 ? 0 : config.size("type_vocab_size");
  s.norm_eps = config.number("layer_norm_eps", 1e-7);
  for (const char* key : {"embedding_size", "pooler_hidden_size"}) config.only(key, s.hidden);
  config.only("attention_head_size", s.head_dim);
  config.only("conv_kernel_size", 0);
}

void read_positions(const ConfigReader& config, ArchSpec& s) {
  if (config.flag("relative_attention", false)) s.disentangled = read_disentangled(config, s.max_positions);
  if (!config.flag("position_biased_input", true)) {
    s.positions = Positions::kNone;
    s.max_positions = kAnyLength;
  }
  // Scores of every kind are scaled by as much, so that their sum has the size of one.
  const int64_t kinds = 1 + (s.disentangled ? s.disentangled->parts.content_to_position +
                                                  s.disentangled->parts.position_to_content
                                            : static_cast<int64_t>(parts_of(config).size()));
  s.attention_scale = 1 / std::sqrt(static_cast<double>(s.head_dim * kinds));
}

}  // namespace

ArchSpec deberta_v2(const ConfigReader& config) {
  ArchSpec s = encoder_family(config, 128100, 0);
  read_sizes(config, s);
  read_positions(config, s);
  read_encoder_dropout(config, 0.1, s);
  s.activation = activation_of(config, "hidden_act", "gelu");
  s.pooler_activation = activation_of(config, "pooler_hidden_act", "gelu");
  s.pooler_dropout = config.probability("pooler_dropout", 0);
  s.classifier_dropout = config.probability("cls_dropout", s.residual_dropout);
  s.token_dropout = s.residual_dropout;
  s.name_prefix = "deberta.";
  s.head_architecture = "DebertaV2For{}";
  s.older_endings = {{"cls.predictions.bias", "cls.predictions.decoder.bias"}};
  // The head that is not meant, tied copies, and a table of positions that nothing reads.
  s.other_heads = {"cls.", "lm_predictions.", "mask_predictions."};
  if (s.positions == Positions::kNone) s.other_heads.push_back("deberta.embeddings.position_embeddings.");
  s.names.assign(std::begin(kNames), std::end(kNames));
  if (config.flag("legacy", true)) {
    s.names.insert(s.names.end(), std::begin(kLegacyHead), std::end(kLegacyHead));
  } else {
    s.names.insert(s.names.end(), std::begin(kHead), std::end(kHead));
    s.tied_embeddings = true;
  }
  return s;
}

}  // namespace deepspeed::models
