// BERT (Devlin et al. 2019) and its kin: RoBERTa, XLM-R, DistilBERT, ALBERT.
#include <iterator>

#include "deepspeed/base/error.h"
#include "deepspeed/models/families.h"

namespace deepspeed::models {
namespace {

constexpr WeightName kBertNames[] = {
    {"encoder.embedding.weight", ".embeddings.word_embeddings.weight"},
    {"encoder.positions.weight", ".embeddings.position_embeddings.weight"},
    {"encoder.token_types.weight", ".embeddings.token_type_embeddings.weight"},
    {"encoder.embedding_norm.weight", ".embeddings.LayerNorm.weight"},
    {"encoder.embedding_norm.bias", ".embeddings.LayerNorm.bias"},
    {"encoder.layers.{}.attention.query.weight", ".encoder.layer.{}.attention.self.query.weight"},
    {"encoder.layers.{}.attention.query.bias", ".encoder.layer.{}.attention.self.query.bias"},
    {"encoder.layers.{}.attention.key.weight", ".encoder.layer.{}.attention.self.key.weight"},
    {"encoder.layers.{}.attention.key.bias", ".encoder.layer.{}.attention.self.key.bias"},
    {"encoder.layers.{}.attention.value.weight", ".encoder.layer.{}.attention.self.value.weight"},
    {"encoder.layers.{}.attention.value.bias", ".encoder.layer.{}.attention.self.value.bias"},
    {"encoder.layers.{}.attention.output.weight", ".encoder.layer.{}.attention.output.dense.weight"},
    {"encoder.layers.{}.attention.output.bias", ".encoder.layer.{}.attention.output.dense.bias"},
    {"encoder.layers.{}.norm1.weight", ".encoder.layer.{}.attention.output.LayerNorm.weight"},
    {"encoder.layers.{}.norm1.bias", ".encoder.layer.{}.attention.output.LayerNorm.bias"},
    {"encoder.layers.{}.mlp.up.weight", ".encoder.layer.{}.intermediate.dense.weight"},
    {"encoder.layers.{}.mlp.up.bias", ".encoder.layer.{}.intermediate.dense.bias"},
    {"encoder.layers.{}.mlp.down.weight", ".encoder.layer.{}.output.dense.weight"},
    {"encoder.layers.{}.mlp.down.bias", ".encoder.layer.{}.output.dense.bias"},
    {"encoder.layers.{}.norm2.weight", ".encoder.layer.{}.output.LayerNorm.weight"},
    {"encoder.layers.{}.norm2.bias", ".encoder.layer.{}.output.LayerNorm.bias"}};

constexpr WeightName kBertHeads[] = {{"head.transform.weight", "cls.predictions.transform.dense.weight"},
                                     {"head.transform.bias", "cls.predictions.transform.dense.bias"},
                                     {"head.norm.weight", "cls.predictions.transform.LayerNorm.weight"},
                                     {"head.norm.bias", "cls.predictions.transform.LayerNorm.bias"},
                                     {"head.decoder.weight", "cls.predictions.decoder.weight"},
                                     {"head.bias", "cls.predictions.bias"},
                                     {"pooler.weight", ".pooler.dense.weight"},
                                     {"pooler.bias", ".pooler.dense.bias"},
                                     {"classifier.weight", "classifier.weight"},
                                     {"classifier.bias", "classifier.bias"},
                                     {"token_classifier.weight", "classifier.weight"},
                                     {"token_classifier.bias", "classifier.bias"},
                                     {"answer.weight", "qa_outputs.weight"},
                                     {"answer.bias", "qa_outputs.bias"}};

constexpr WeightName kRobertaHeads[] = {{"head.transform.weight", "lm_head.dense.weight"},
                                        {"head.transform.bias", "lm_head.dense.bias"},
                                        {"head.norm.weight", "lm_head.layer_norm.weight"},
                                        {"head.norm.bias", "lm_head.layer_norm.bias"},
                                        {"head.decoder.weight", "lm_head.decoder.weight"},
                                        {"head.bias", "lm_head.bias"},
                                        {"pooler.weight", "classifier.dense.weight"},
                                        {"pooler.bias", "classifier.dense.bias"},
                                        {"classifier.weight", "classifier.out_proj.weight"},
                                        {"classifier.bias", "classifier.out_proj.bias"},
                                        {"token_classifier.weight", "classifier.weight"},
                                        {"token_classifier.bias", "classifier.bias"},
                                        {"answer.weight", "qa_outputs.weight"},
                                        {"answer.bias", "qa_outputs.bias"}};

constexpr WeightName kDistilbertNames[] = {
    {"encoder.embedding.weight", ".embeddings.word_embeddings.weight"},
    {"encoder.positions.weight", ".embeddings.position_embeddings.weight"},
    {"encoder.embedding_norm.weight", ".embeddings.LayerNorm.weight"},
    {"encoder.embedding_norm.bias", ".embeddings.LayerNorm.bias"},
    {"encoder.layers.{}.attention.query.weight", ".transformer.layer.{}.attention.q_lin.weight"},
    {"encoder.layers.{}.attention.query.bias", ".transformer.layer.{}.attention.q_lin.bias"},
    {"encoder.layers.{}.attention.key.weight", ".transformer.layer.{}.attention.k_lin.weight"},
    {"encoder.layers.{}.attention.key.bias", ".transformer.layer.{}.attention.k_lin.bias"},
    {"encoder.layers.{}.attention.value.weight", ".transformer.layer.{}.attention.v_lin.weight"},
    {"encoder.layers.{}.attention.value.bias", ".transformer.layer.{}.attention.v_lin.bias"},
    {"encoder.layers.{}.attention.output.weight", ".transformer.layer.{}.attention.out_lin.weight"},
    {"encoder.layers.{}.attention.output.bias", ".transformer.layer.{}.attention.out_lin.bias"},
    {"encoder.layers.{}.norm1.weight", ".transformer.layer.{}.sa_layer_norm.weight"},
    {"encoder.layers.{}.norm1.bias", ".transformer.layer.{}.sa_layer_norm.bias"},
    {"encoder.layers.{}.mlp.up.weight", ".transformer.layer.{}.ffn.lin1.weight"},
    {"encoder.layers.{}.mlp.up.bias", ".transformer.layer.{}.ffn.lin1.bias"},
    {"encoder.layers.{}.mlp.down.weight", ".transformer.layer.{}.ffn.lin2.weight"},
    {"encoder.layers.{}.mlp.down.bias", ".transformer.layer.{}.ffn.lin2.bias"},
    {"encoder.layers.{}.norm2.weight", ".transformer.layer.{}.output_layer_norm.weight"},
    {"encoder.layers.{}.norm2.bias", ".transformer.layer.{}.output_layer_norm.bias"},
    {"head.transform.weight", "vocab_transform.weight"},
    {"head.transform.bias", "vocab_transform.bias"},
    {"head.norm.weight", "vocab_layer_norm.weight"},
    {"head.norm.bias", "vocab_layer_norm.bias"},
    {"head.decoder.weight", "vocab_projector.weight"},
    {"head.bias", "vocab_projector.bias"},
    {"pooler.weight", "pre_classifier.weight"},
    {"pooler.bias", "pre_classifier.bias"},
    {"classifier.weight", "classifier.weight"},
    {"classifier.bias", "classifier.bias"},
    {"token_classifier.weight", "classifier.weight"},
    {"token_classifier.bias", "classifier.bias"},
    {"answer.weight", "qa_outputs.weight"},
    {"answer.bias", "qa_outputs.bias"}};

constexpr WeightName kAlbertNames[] = {
    {"encoder.embedding.weight", ".embeddings.word_embeddings.weight"},
    {"encoder.positions.weight", ".embeddings.position_embeddings.weight"},
    {"encoder.token_types.weight", ".embeddings.token_type_embeddings.weight"},
    {"encoder.embedding_norm.weight", ".embeddings.LayerNorm.weight"},
    {"encoder.embedding_norm.bias", ".embeddings.LayerNorm.bias"},
    {"encoder.widening.weight", ".encoder.embedding_hidden_mapping_in.weight"},
    {"encoder.widening.bias", ".encoder.embedding_hidden_mapping_in.bias"},
#define DS_ALBERT ".encoder.albert_layer_groups.{}.albert_layers.0."
    {"encoder.layers.{}.attention.query.weight", DS_ALBERT "attention.query.weight"},
    {"encoder.layers.{}.attention.query.bias", DS_ALBERT "attention.query.bias"},
    {"encoder.layers.{}.attention.key.weight", DS_ALBERT "attention.key.weight"},
    {"encoder.layers.{}.attention.key.bias", DS_ALBERT "attention.key.bias"},
    {"encoder.layers.{}.attention.value.weight", DS_ALBERT "attention.value.weight"},
    {"encoder.layers.{}.attention.value.bias", DS_ALBERT "attention.value.bias"},
    {"encoder.layers.{}.attention.output.weight", DS_ALBERT "attention.dense.weight"},
    {"encoder.layers.{}.attention.output.bias", DS_ALBERT "attention.dense.bias"},
    {"encoder.layers.{}.norm1.weight", DS_ALBERT "attention.LayerNorm.weight"},
    {"encoder.layers.{}.norm1.bias", DS_ALBERT "attention.LayerNorm.bias"},
    {"encoder.layers.{}.mlp.up.weight", DS_ALBERT "ffn.weight"},
    {"encoder.layers.{}.mlp.up.bias", DS_ALBERT "ffn.bias"},
    {"encoder.layers.{}.mlp.down.weight", DS_ALBERT "ffn_output.weight"},
    {"encoder.layers.{}.mlp.down.bias", DS_ALBERT "ffn_output.bias"},
    {"encoder.layers.{}.norm2.weight", DS_ALBERT "full_layer_layer_norm.weight"},
    {"encoder.layers.{}.norm2.bias", DS_ALBERT "full_layer_layer_norm.bias"},
#undef DS_ALBERT
    {"head.transform.weight", "predictions.dense.weight"},
    {"head.transform.bias", "predictions.dense.bias"},
    {"head.norm.weight", "predictions.LayerNorm.weight"},
    {"head.norm.bias", "predictions.LayerNorm.bias"},
    {"head.decoder.weight", "predictions.decoder.weight"},
    {"head.bias", "predictions.bias"},
    {"pooler.weight", ".pooler.weight"},
    {"pooler.bias", ".pooler.bias"},
    {"classifier.weight", "classifier.weight"},
    {"classifier.bias", "classifier.bias"},
    {"token_classifier.weight", "classifier.weight"},
    {"token_classifier.bias", "classifier.bias"},
    {"answer.weight", "qa_outputs.weight"},
    {"answer.bias", "qa_outputs.bias"}};

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

// Sizes under BERT's names for them.
void read_sizes(const ConfigReader& config, int64_t hidden, int64_t heads, int64_t intermediate,
                ArchSpec& s) {
  s.hidden = config.size("hidden_size", hidden);
  s.layers = config.size("num_hidden_layers", 12);
  s.heads = s.kv_heads = config.size("num_attention_heads", heads);
  s.head_dim = head_dim_of(config, s);
  s.intermediate = config.size("intermediate_size", intermediate);
  s.token_types = config.size("type_vocab_size", 2);
  s.norm_eps = config.number("layer_norm_eps", 1e-12);
}

ArchSpec bert_like(const ConfigReader& config, int64_t vocab, int64_t padding) {
  ArchSpec s = encoder_family(config, vocab, padding);
  read_sizes(config, 768, 12, 3072, s);
  read_encoder_dropout(config, 0.1, s);
  s.activation = activation_of(config, "hidden_act", "gelu");
  s.classifier_dropout = s.token_dropout = config.probability("classifier_dropout", s.residual_dropout);
  s.names.assign(std::begin(kBertNames), std::end(kBertNames));
  return s;
}

template <size_t kCount>
void append(ArchSpec& s, const WeightName (&names)[kCount]) {
  s.names.insert(s.names.end(), std::begin(names), std::end(names));
}

// Positions count the tokens that are not padding, from the padding token's id on.
ArchSpec roberta_like(const ConfigReader& config, int64_t vocab) {
  ArchSpec s = bert_like(config, vocab, 1);
  config.only("hidden_act", "gelu");  // the head's activation is GELU whatever this says
  DS_CHECK(
      s.padding_token && s.max_positions > *s.padding_token + 1,
      "{}: 'pad_token_id' must be smaller than 'max_position_embeddings': positions are counted from it on",
      config.where());
  s.counted_positions = true;
  s.position_offset = *s.padding_token + 1;
  s.max_positions -= s.position_offset;
  s.pooler_dropout = s.classifier_dropout;
  s.name_prefix = "roberta.";
  // A pooler that nothing reads, and the tied copies.
  s.other_heads = {"roberta.pooler.", "lm_head."};
  append(s, kRobertaHeads);
  return s;
}

}  // namespace

ArchSpec encoder_family(const ConfigReader& config, int64_t vocab, int64_t padding) {
  for (const char* key : {"is_decoder", "add_cross_attention"}) config.only(key, false);
  config.only("position_embedding_type", "absolute");
  ArchSpec s;
  s.vocab = config.size("vocab_size", vocab);
  s.max_positions = config.size("max_position_embeddings", 512);
  s.norm_eps = 1e-12;
  s.qkv_bias = s.output_bias = s.mlp_bias = true;
  s.embedding_norm = s.post_norm = s.bidirectional = true;
  s.tied_embeddings = config.flag("tie_word_embeddings", true);
  s.padding_token = config.token("pad_token_id", padding, s.vocab);
  s.init_std = config.number("initializer_range", 0.02);
  read_labels(config, s);
  const std::string problem = config.text("problem_type", "");
  DS_CHECK(problem.empty() || problem == (s.labels == 1 ? "regression" : "single_label_classification"),
           "{}: 'problem_type' \"{}\" with {} labels is not available yet (regression with 1, "
           "single_label_classification with more)",
           config.where(), problem, s.labels);
  s.head_prefixes = {"head.", "pooler.", "classifier.", "token_classifier.", "answer."};
  return s;
}

void read_encoder_dropout(const ConfigReader& config, double fallback, ArchSpec& s) {
  s.embedding_dropout = s.residual_dropout = config.probability("hidden_dropout_prob", fallback);
  s.attention_dropout = config.probability("attention_probs_dropout_prob", fallback);
}

ArchSpec bert(const ConfigReader& config) {
  ArchSpec s = bert_like(config, 30522, 0);
  s.name_prefix = "bert.";
  s.head_architecture = "BertFor{}";
  s.older_endings = {{"LayerNorm.weight", "LayerNorm.gamma"},
                     {"LayerNorm.bias", "LayerNorm.beta"},
                     {"cls.predictions.bias", "cls.predictions.decoder.bias"}};
  s.other_heads = {"cls."};
  append(s, kBertHeads);
  return s;
}

ArchSpec roberta(const ConfigReader& config) {
  ArchSpec s = roberta_like(config, 50265);
  s.head_architecture = "RobertaFor{}";
  return s;
}

ArchSpec xlm_roberta(const ConfigReader& config) {
  ArchSpec s = roberta_like(config, 30522);
  s.head_architecture = "XLMRobertaFor{}";
  return s;
}

// What attention gives is not dropped.
ArchSpec distilbert(const ConfigReader& config) {
  config.only("sinusoidal_pos_embds", false);
  ArchSpec s = encoder_family(config, 30522, 0);
  s.hidden = config.size("dim", 768);
  s.layers = config.size("n_layers", 6);
  s.heads = s.kv_heads = config.size("n_heads", 12);
  s.head_dim = head_dim_of(config, s);
  s.intermediate = config.size("hidden_dim", 3072);
  s.activation = activation_of(config, "activation", "gelu");
  s.embedding_dropout = s.residual_dropout = s.token_dropout = config.probability("dropout", 0.1);
  s.attention_dropout = config.probability("attention_dropout", 0.1);
  s.drops_attention_output = false;
  s.classifier_dropout = config.probability("seq_classif_dropout", 0.2);
  s.answer_dropout = config.probability("qa_dropout", 0.1);
  s.pooler_activation = nn::Activation::kRelu;
  s.name_prefix = "distilbert.";
  s.head_architecture = "DistilBertFor{}";
  append(s, kDistilbertNames);
  return s;
}

// Groups of layers share one set of weights; what the MLP gives is not dropped.
ArchSpec albert(const ConfigReader& config) {
  config.only("inner_group_num", 1);
  ArchSpec s = encoder_family(config, 30000, 0);
  read_sizes(config, 4096, 64, 16384, s);
  read_encoder_dropout(config, 0, s);
  const int64_t groups = config.size("num_hidden_groups", 1), depth = s.layers;
  DS_CHECK(groups <= depth, "{}: 'num_hidden_groups' is {}, of {} layers", config.where(), groups, depth);
  s.layers = groups;
  for (int64_t i = 0; i < depth; ++i) s.layer_order.push_back(static_cast<size_t>(i * groups / depth));
  s.embedding_width = config.size("embedding_size", 128);
  if (s.embedding_width == s.hidden)
    base::fail("{}: 'embedding_size' = 'hidden_size' is not available yet", config.where());
  s.activation = activation_of(config, "hidden_act", "gelu_new");
  s.drops_mlp_output = false;
  s.classifier_dropout = s.token_dropout = config.probability("classifier_dropout_prob", 0.1);
  s.name_prefix = "albert.";
  s.head_architecture = "AlbertFor{}";
  s.other_heads = {"sop_classifier.", "predictions.decoder."};
  append(s, kAlbertNames);
  return s;
}

}  // namespace deepspeed::models
