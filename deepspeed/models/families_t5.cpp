// T5 (Raffel et al. 2020), its version 1.1 and FLAN-T5.
#include <cmath>
#include <iterator>

#include "deepspeed/base/error.h"
#include "deepspeed/models/families.h"

namespace deepspeed::models {
namespace {

constexpr WeightName kNames[] = {
    {"embedding.weight", "shared.weight"},
    {"encoder.relative.weight", "encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight"},
    {"encoder.layers.{}.norm1.weight", "encoder.block.{}.layer.0.layer_norm.weight"},
    {"encoder.layers.{}.attention.query.weight", "encoder.block.{}.layer.0.SelfAttention.q.weight"},
    {"encoder.layers.{}.attention.key.weight", "encoder.block.{}.layer.0.SelfAttention.k.weight"},
    {"encoder.layers.{}.attention.value.weight", "encoder.block.{}.layer.0.SelfAttention.v.weight"},
    {"encoder.layers.{}.attention.output.weight", "encoder.block.{}.layer.0.SelfAttention.o.weight"},
    {"encoder.layers.{}.norm2.weight", "encoder.block.{}.layer.1.layer_norm.weight"},
    {"encoder.layers.{}.mlp.down.weight", "encoder.block.{}.layer.1.DenseReluDense.wo.weight"},
    {"encoder.norm.weight", "encoder.final_layer_norm.weight"},
    {"decoder.relative.weight", "decoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight"},
    {"decoder.layers.{}.norm1.weight", "decoder.block.{}.layer.0.layer_norm.weight"},
    {"decoder.layers.{}.attention.query.weight", "decoder.block.{}.layer.0.SelfAttention.q.weight"},
    {"decoder.layers.{}.attention.key.weight", "decoder.block.{}.layer.0.SelfAttention.k.weight"},
    {"decoder.layers.{}.attention.value.weight", "decoder.block.{}.layer.0.SelfAttention.v.weight"},
    {"decoder.layers.{}.attention.output.weight", "decoder.block.{}.layer.0.SelfAttention.o.weight"},
    {"decoder.layers.{}.cross_norm.weight", "decoder.block.{}.layer.1.layer_norm.weight"},
    {"decoder.layers.{}.cross_attention.query.weight", "decoder.block.{}.layer.1.EncDecAttention.q.weight"},
    {"decoder.layers.{}.cross_attention.key.weight", "decoder.block.{}.layer.1.EncDecAttention.k.weight"},
    {"decoder.layers.{}.cross_attention.value.weight", "decoder.block.{}.layer.1.EncDecAttention.v.weight"},
    {"decoder.layers.{}.cross_attention.output.weight", "decoder.block.{}.layer.1.EncDecAttention.o.weight"},
    {"decoder.layers.{}.norm2.weight", "decoder.block.{}.layer.2.layer_norm.weight"},
    {"decoder.layers.{}.mlp.down.weight", "decoder.block.{}.layer.2.DenseReluDense.wo.weight"},
    {"decoder.norm.weight", "decoder.final_layer_norm.weight"},
    {"decoder.head.weight", "lm_head.weight"}};

constexpr WeightName kPlainNames[] = {
    {"encoder.layers.{}.mlp.up.weight", "encoder.block.{}.layer.1.DenseReluDense.wi.weight"},
    {"decoder.layers.{}.mlp.up.weight", "decoder.block.{}.layer.2.DenseReluDense.wi.weight"}};

constexpr WeightName kGatedNames[] = {
    {"encoder.layers.{}.mlp.gate.weight", "encoder.block.{}.layer.1.DenseReluDense.wi_0.weight"},
    {"encoder.layers.{}.mlp.up.weight", "encoder.block.{}.layer.1.DenseReluDense.wi_1.weight"},
    {"decoder.layers.{}.mlp.gate.weight", "decoder.block.{}.layer.2.DenseReluDense.wi_0.weight"},
    {"decoder.layers.{}.mlp.up.weight", "decoder.block.{}.layer.2.DenseReluDense.wi_1.weight"}};

nn::Activation feed_forward(const ConfigReader& config) {
  const std::string name = config.text("feed_forward_proj", "relu");
  if (name == "gated-gelu" || name == "gated-gelu_new") return nn::Activation::kGeGluTanh;
  if (name == "gated-silu") return nn::Activation::kSwiGlu;
  if (name.starts_with("gated-"))
    base::fail("{}: 'feed_forward_proj' \"{}\" is not available yet (gated-gelu, gated-silu)", config.where(),
               name);
  return activation_of(config, "feed_forward_proj", "relu");
}

void read_sizes(const ConfigReader& config, ArchSpec& s) {
  s.vocab = config.size("vocab_size", 32128);
  s.hidden = config.size("d_model", 512);
  s.head_dim = config.size("d_kv", 64);
  s.intermediate = config.size("d_ff", 2048);
  s.layers = config.size("num_layers", 6);
  s.decoder_layers = config.size("num_decoder_layers", s.layers);
  s.heads = s.kv_heads = config.size("num_heads", 8);
  s.max_positions = kAnyLength;
  s.positions = Positions::kRelative;
  s.buckets = {.count = config.size("relative_attention_num_buckets", 32),
               .max_distance = config.size("relative_attention_max_distance", 128)};
}

// Scores are not scaled; the queries' projection is made smaller instead.
void read_numbers(const ConfigReader& config, ArchSpec& s) {
  s.norm = nn::NormKind::kRmsNorm;
  s.norm_eps = config.number("layer_norm_epsilon", 1e-6);
  s.attention_scale = 1;
  s.init_std = config.number("initializer_factor", 1);
  s.fan_in_init = true;
  s.embedding_dropout = s.attention_dropout = s.residual_dropout = s.inner_dropout = s.output_dropout =
      config.probability("dropout_rate", 0.1);
}

}  // namespace

// Whether the head is the table of tokens and whether it reads scaled states goes together: transformers 5
// writes the one as "scale_decoder_outputs", before it was "tie_word_embeddings". A file of an untied model
// may lack a head that is the table all the same.
ArchSpec t5(const ConfigReader& config) {
  config.only("is_encoder_decoder", true);
  ArchSpec s;
  read_sizes(config, s);
  read_numbers(config, s);
  s.activation = feed_forward(config);
  s.tied_embeddings = config.flag("scale_decoder_outputs", config.flag("tie_word_embeddings", true));
  if (s.tied_embeddings) s.head_scale = 1 / std::sqrt(static_cast<double>(s.hidden));
  s.label_padding = config.token("pad_token_id", 0, s.vocab).value_or(0);
  s.decoder_start =
      config.token("decoder_start_token_id", s.label_padding, s.vocab).value_or(s.label_padding);
  s.older_endings = {{"lm_head.weight", "shared.weight"},
                     {"shared.weight", "encoder.embed_tokens.weight"},
                     {"shared.weight", "decoder.embed_tokens.weight"}};
  // Copies of the table, and one of positions that nothing reads.
  s.other_heads = {"encoder.embed_tokens.", "decoder.embed_tokens.",
                   "decoder.block.0.layer.1.EncDecAttention.relative_attention_bias."};
  s.names.assign(std::begin(kNames), std::end(kNames));
  if (nn::is_gated(s.activation))
    s.names.insert(s.names.end(), std::begin(kGatedNames), std::end(kGatedNames));
  else
    s.names.insert(s.names.end(), std::begin(kPlainNames), std::end(kPlainNames));
  return s;
}

}  // namespace deepspeed::models
