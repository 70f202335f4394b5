#include "deepspeed/nn/attention.h"

#include <cmath>

#include "deepspeed/base/error.h"
#include "deepspeed/ops/dropout.h"

namespace deepspeed::nn {

Attention::Attention(const AttentionConfig& c, const RngPtr& rng)
    : config_(c),
      dropout_(c.attention_dropout, rng, c.dropout_site),
      distance_dropout_(c.distance_dropout, rng, c.dropout_site + ".distances") {
  DS_CHECK(c.heads > 0 && c.kv_heads > 0 && c.heads % c.kv_heads == 0,
           "attention heads ({}) must be a multiple of key-value heads ({})", c.heads, c.kv_heads);
  DS_CHECK(!c.cross || !c.fused_qkv, "cross-attention has a projection of its own for queries");
  DS_CHECK(!c.disentangled || (c.heads == c.kv_heads && !c.fused_qkv),
           "disentangled attention has a projection each for queries and keys, of as many heads");
  auto linear = [&](const char* name, int64_t in, int64_t out, bool bias, Init init) {
    return register_module(name, std::make_shared<Linear>(DenseOptions{in, out, bias, c.order, init}));
  };
  const int64_t q_width = c.heads * c.head_dim, kv_width = c.kv_heads * c.head_dim;
  if (c.fused_qkv) {
    qkv_ = linear("qkv", c.hidden, q_width + 2 * kv_width, c.qkv_bias, c.weight_init);
  } else {
    query_ = linear("query", c.hidden, q_width, c.qkv_bias, c.query_init.value_or(c.weight_init));
    key_ = linear("key", c.hidden, kv_width, c.qkv_bias, c.weight_init);
    value_ = linear("value", c.hidden, kv_width, c.qkv_bias, c.weight_init);
  }
  if (c.disentangled && !c.disentangled->shared_projections) {
    if (c.disentangled->content_to_position)
      distance_key_ = linear("distance_key", c.hidden, kv_width, c.qkv_bias, c.weight_init);
    if (c.disentangled->position_to_content)
      distance_query_ = linear("distance_query", c.hidden, q_width, c.qkv_bias, c.weight_init);
  }
  if (c.head_norm) {
    query_norm_ = register_module("query_norm", std::make_shared<Norm>(*c.head_norm, c.head_dim, c.norm_eps));
    key_norm_ = register_module("key_norm", std::make_shared<Norm>(*c.head_norm, c.head_dim, c.norm_eps));
  }
  output_ = linear("output", q_width, c.hidden, c.output_bias, c.output_init);
}

void Attention::keep_heads(int64_t first, int64_t heads, int64_t kv_heads) {
  DS_CHECK(heads > 0 && kv_heads > 0 && heads % kv_heads == 0 && first >= 0 && first + heads <= config_.heads,
           "heads {} to {} with {} key-value heads cannot be kept of {}", first, first + heads, kv_heads,
           config_.heads);
  config_.heads = heads;
  config_.kv_heads = kv_heads;
  if (config_.alibi_slopes.defined()) config_.alibi_slopes = config_.alibi_slopes.narrow(0, first, heads);
}

void Attention::fuse_qkv(std::unique_ptr<Projection> projection) {
  DS_CHECK(!config_.fused_qkv, "attention: queries, keys and values come from one projection already");
  DS_CHECK(fuses_qkv(), "attention: its projections of queries and keys serve other states, too");
  for (const char* name : {"query", "key", "value"}) unregister_module(name);
  query_ = key_ = value_ = nullptr;
  qkv_ = register_module("qkv", std::make_shared<Linear>(std::move(projection)));
  config_.fused_qkv = true;
}

at::Tensor Attention::split(const at::Tensor& t, int64_t heads) const {
  return t.view({t.size(0), t.size(1), heads, config_.head_dim});
}

Attention::Heads Attention::project(const at::Tensor& x) {
  at::Tensor q, k, v;  // [B, T, heads, D]
  if (config_.fused_qkv) {
    // One view, then narrow: no copies in forward, one concatenation in backward.
    const at::Tensor all = split(qkv_->forward(x), config_.heads + 2 * config_.kv_heads);
    const auto parts = all.split_with_sizes({config_.heads, config_.kv_heads, config_.kv_heads}, /*dim=*/2);
    q = parts[0], k = parts[1], v = parts[2];
  } else {
    q = split(query_->forward(x), config_.heads);
    k = split(key_->forward(x), config_.kv_heads);
    v = split(value_->forward(x), config_.kv_heads);
  }
  if (query_norm_) {
    q = query_norm_->forward(q);
    k = key_norm_->forward(k);
  }
  return {q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2)};
}

Attention::Heads Attention::project_across(const at::Tensor& x, const AttentionInputs& in) {
  at::Tensor q = split(query_->forward(x), config_.heads);
  if (query_norm_) q = query_norm_->forward(q);
  Heads heads{q.transpose(1, 2), {}, {}};
  if (const auto* kept = in.memory_keys ? in.memory_keys->find(config_.layer) : nullptr) {
    std::tie(heads.k, heads.v) = *kept;
    return heads;
  }
  DS_CHECK(in.memory.defined(), "cross-attention of layer {} has no memory to attend to", config_.layer);
  // Its gradients of keys and of values meet here, before those of other layers: in the same order whether
  // this layer is recomputed or not.
  const at::Tensor memory = in.memory.alias();
  at::Tensor k = split(key_->forward(memory), config_.kv_heads);
  if (key_norm_) k = key_norm_->forward(k);
  heads.k = k.transpose(1, 2);
  heads.v = split(value_->forward(memory), config_.kv_heads).transpose(1, 2);
  if (in.memory_keys != nullptr) in.memory_keys->keep(config_.layer, heads.k, heads.v);
  return heads;
}

at::Tensor Attention::distance_scores(const Heads& heads, const Distances& distances) {
  DS_CHECK(distances.embeddings.defined() && distances.rows.defined(),
           "disentangled attention of layer {} is given no distances", config_.layer);
  const DisentangledParts& parts = *config_.disentangled;
  const at::Tensor embeddings =
      ops::dropout(distances.embeddings, distance_dropout_.p(is_training()), distance_dropout_.key())
          .unsqueeze(0);
  const auto project = [&](Linear& linear) { return split(linear.forward(embeddings), config_.heads)[0]; };
  ProjectedDistances projected{.rows = distances.rows};
  if (parts.content_to_position) projected.keys = project(distance_key_ ? *distance_key_ : *key_);
  if (parts.position_to_content) projected.queries = project(distance_query_ ? *distance_query_ : *query_);
  const double scale = config_.scale.value_or(1 / std::sqrt(static_cast<double>(config_.head_dim)));
  return disentangled_scores(heads.q, heads.k, projected) * scale;
}

ops::AttentionOptions Attention::options_of(const AttentionInputs& in, const at::Device& device) {
  ops::AttentionOptions options;
  options.causal = config_.causal && !config_.cross;
  options.window = config_.window;
  options.scale = config_.scale;
  options.softcap = config_.softcap;
  if (config_.alibi_slopes.defined()) config_.alibi_slopes = config_.alibi_slopes.to(device);
  options.alibi_slopes = config_.alibi_slopes;
  options.dropout_p = dropout_.p(is_training());
  options.rng = dropout_.key();
  if (in.first_key) options.first_key = *in.first_key;
  if (in.end_key) options.end_key = *in.end_key;
  options.bias = in.bias;
  return options;
}

at::Tensor Attention::compute(const at::Tensor& x, const AttentionInputs& in, const at::Tensor& residual) {
  ops::AttentionOptions options = options_of(in, x.device());
  const bool plain_fused = config_.fused_qkv && config_.heads == config_.kv_heads && !in.rotary &&
                           in.cache == nullptr && !query_norm_ && !in.bias.defined() && !config_.disentangled;
  if (plain_fused)
    return output_->forward(ops::attention_fused(qkv_->forward(x), config_.heads, options), residual);

  Heads h = config_.cross ? project_across(x, in) : project(x);
  if (in.rotary) {
    h.q = ops::rotary(h.q, *in.rotary);
    h.k = ops::rotary(h.k, *in.rotary);
  }
  if (config_.disentangled) options.bias = distance_scores(h, in.distances);
  if (in.cache != nullptr) std::tie(h.k, h.v) = in.cache->append(config_.layer, h.k, h.v);
  at::Tensor mixed = ops::attention(h.q, h.k, h.v, options);  // [B, H, T, D], laid out [B, T, H, D]
  if (config_.disentangled && in.end_key) mixed = with_blind_padding(mixed, h.v, *in.end_key);
  return output_->forward(
      mixed.transpose(1, 2).reshape({x.size(0), x.size(1), config_.heads * config_.head_dim}), residual);
}

}  // namespace deepspeed::nn
