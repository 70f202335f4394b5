// BERT (Devlin et al. 2019): the encoder family.
#include <iterator>

#include "deepspeed/base/error.h"
#include "deepspeed/models/families.h"

namespace deepspeed::models {
namespace {

constexpr WeightName kBertNames[] = {
    {"encoder.embedding.weight", "bert.embeddings.word_embeddings.weight"},
    {"encoder.positions.weight", "bert.embeddings.position_embeddings.weight"},
    {"encoder.token_types.weight", "bert.embeddings.token_type_embeddings.weight"},
    {"encoder.embedding_norm.weight", "bert.embeddings.LayerNorm.weight"},
    {"encoder.embedding_norm.bias", "bert.embeddings.LayerNorm.bias"},
    {"encoder.layers.{}.attention.query.weight", "bert.encoder.layer.{}.attention.self.query.weight"},
    {"encoder.layers.{}.attention.query.bias", "bert.encoder.layer.{}.attention.self.query.bias"},
    {"encoder.layers.{}.attention.key.weight", "bert.encoder.layer.{}.attention.self.key.weight"},
    {"encoder.layers.{}.attention.key.bias", "bert.encoder.layer.{}.attention.self.key.bias"},
    {"encoder.layers.{}.attention.value.weight", "bert.encoder.layer.{}.attention.self.value.weight"},
    {"encoder.layers.{}.attention.value.bias", "bert.encoder.layer.{}.attention.self.value.bias"},
    {"encoder.layers.{}.attention.output.weight", "bert.encoder.layer.{}.attention.output.dense.weight"},
    {"encoder.layers.{}.attention.output.bias", "bert.encoder.layer.{}.attention.output.dense.bias"},
    {"encoder.layers.{}.norm1.weight", "bert.encoder.layer.{}.attention.output.LayerNorm.weight"},
    {"encoder.layers.{}.norm1.bias", "bert.encoder.layer.{}.attention.output.LayerNorm.bias"},
    {"encoder.layers.{}.mlp.up.weight", "bert.encoder.layer.{}.intermediate.dense.weight"},
    {"encoder.layers.{}.mlp.up.bias", "bert.encoder.layer.{}.intermediate.dense.bias"},
    {"encoder.layers.{}.mlp.down.weight", "bert.encoder.layer.{}.output.dense.weight"},
    {"encoder.layers.{}.mlp.down.bias", "bert.encoder.layer.{}.output.dense.bias"},
    {"encoder.layers.{}.norm2.weight", "bert.encoder.layer.{}.output.LayerNorm.weight"},
    {"encoder.layers.{}.norm2.bias", "bert.encoder.layer.{}.output.LayerNorm.bias"},
    {"head.transform.weight", "cls.predictions.transform.dense.weight"},
    {"head.transform.bias", "cls.predictions.transform.dense.bias"},
    {"head.norm.weight", "cls.predictions.transform.LayerNorm.weight"},
    {"head.norm.bias", "cls.predictions.transform.LayerNorm.bias"},
    {"head.decoder.weight", "cls.predictions.decoder.weight"},
    {"head.bias", "cls.predictions.bias"},
    {"pooler.weight", "bert.pooler.dense.weight"},
    {"pooler.bias", "bert.pooler.dense.bias"},
    {"classifier.weight", "classifier.weight"},
    {"classifier.bias", "classifier.bias"}};

// transformers writes the classes as id2label {"0": name, ...}, and num_labels only where a person did.
void read_labels(const ConfigReader& config, ArchSpec& s) {
  s.labels = config.size("num_labels", 2);
  if (!config.present("id2label")) return;
  const auto& names = config.at("id2label");
  DS_CHECK(names.is_object() && !names.empty(), "{}: 'id2label' must be an object that names every class",
           config.where());
  s.labels = static_cast<int64_t>(names.size());
  for (int64_t id = 0; id < s.labels; ++id) {
    const auto name = names.find(std::to_string(id));
    DS_CHECK(name != names.end() && name->is_string(), "{}: 'id2label' does not name class {}",
             config.where(), id);
    s.label_names.push_back(name->get<std::string>());
  }
}

}  // namespace

ArchSpec bert(const ConfigReader& config) {
  for (const char* key : {"is_decoder", "add_cross_attention"}) config.only(key, false);
  config.only("position_embedding_type", "absolute");
  ArchSpec s;
  s.vocab = config.size("vocab_size", 30522);
  s.hidden = config.size("hidden_size", 768);
  s.layers = config.size("num_hidden_layers", 12);
  s.heads = s.kv_heads = config.size("num_attention_heads", 12);
  DS_CHECK(s.hidden % s.heads == 0, "{}: the hidden size {} is not a multiple of the {} heads",
           config.where(), s.hidden, s.heads);
  s.head_dim = s.hidden / s.heads;
  s.intermediate = config.size("intermediate_size", 3072);
  s.max_positions = config.size("max_position_embeddings", 512);
  s.token_types = config.size("type_vocab_size", 2);
  s.norm_eps = config.number("layer_norm_eps", 1e-12);
  s.activation = activation_of(config, "hidden_act", "gelu");
  s.qkv_bias = s.output_bias = s.mlp_bias = true;
  s.embedding_norm = s.post_norm = s.bidirectional = true;
  s.tied_embeddings = config.flag("tie_word_embeddings", true);
  s.padding_token = config.token("pad_token_id", 0, s.vocab);
  s.init_std = config.number("initializer_range", 0.02);
  s.embedding_dropout = s.residual_dropout = config.probability("hidden_dropout_prob", 0.1);
  s.attention_dropout = config.probability("attention_probs_dropout_prob", 0.1);
  s.classifier_dropout = config.probability("classifier_dropout", s.residual_dropout);
  read_labels(config, s);
  const std::string problem = config.text("problem_type", "");
  DS_CHECK(problem.empty() || problem == (s.labels == 1 ? "regression" : "single_label_classification"),
           "{}: 'problem_type' \"{}\" with {} labels is not available yet (regression with 1, "
           "single_label_classification with more)",
           config.where(), problem, s.labels);
  s.name_prefix = "bert.";
  s.older_endings = {{"LayerNorm.weight", "LayerNorm.gamma"},
                     {"LayerNorm.bias", "LayerNorm.beta"},
                     {"cls.predictions.bias", "cls.predictions.decoder.bias"}};
  s.head_prefixes = {"head.", "pooler.", "classifier."};
  s.other_heads = {"cls.", "qa_outputs."};
  s.names.assign(std::begin(kBertNames), std::end(kBertNames));
  return s;
}

}  // namespace deepspeed::models
