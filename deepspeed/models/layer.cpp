#include "deepspeed/models/layer.h"

#include <fmt/format.h>

#include <cmath>

#include "deepspeed/base/error.h"
#include "deepspeed/ops/attention.h"
#include "deepspeed/ops/dropout.h"

namespace deepspeed::models {
namespace {

// Of a projection that takes `inputs` numbers.
nn::Init weight_init(const ArchSpec& s, int64_t inputs) {
  return nn::Init::normal(s.fan_in_init ? s.init_std / std::sqrt(static_cast<double>(inputs)) : s.init_std);
}

nn::Init residual_init(const ArchSpec& s, int64_t inputs) {
  if (!s.scaled_residual_init) return weight_init(s, inputs);
  return nn::Init::normal(s.init_std / std::sqrt(2.0 * static_cast<double>(s.layers)));
}

at::Tensor alibi_slopes(const ArchSpec& s) {
  if (s.positions != Positions::kAlibi) return {};
  const at::Tensor slopes = ops::alibi_slopes(s.heads);
  return (s.alibi_in_bf16 ? slopes.to(at::kBFloat16).to(at::kFloat) : slopes) * s.alibi_scale;
}

nn::AttentionConfig attention_config(const ArchSpec& s, size_t index) {
  std::optional<nn::Init> query_init;
  if (s.fan_in_init) query_init = weight_init(s, s.hidden * s.head_dim);
  return {.layer = index,
          .hidden = s.hidden,
          .heads = s.heads,
          .kv_heads = s.kv_heads,
          .head_dim = s.head_dim,
          .fused_qkv = s.fused_qkv,
          .qkv_bias = s.qkv_bias,
          .output_bias = s.output_bias,
          .order = s.order,
          .window = s.window_of(index),
          .causal = !s.bidirectional,
          .scale = s.attention_scale,
          .softcap = s.attention_softcap,
          .head_norm = s.head_norm,
          .norm_eps = s.norm_eps,
          .alibi_slopes = alibi_slopes(s),
          .attention_dropout = s.attention_dropout,
          .dropout_site = fmt::format("{}layers.{}.attention.dropout", s.stack, index),
          .weight_init = weight_init(s, s.hidden),
          .output_init = residual_init(s, s.heads * s.head_dim),
          .query_init = query_init,
          .disentangled = s.disentangled ? std::optional(s.disentangled->parts) : std::nullopt,
          .distance_dropout = s.disentangled ? s.residual_dropout : 0};
}

nn::AttentionConfig cross_config(const ArchSpec& s, size_t index) {
  nn::AttentionConfig config = attention_config(s, index);
  config.cross = true;
  config.window = 0;
  config.dropout_site = fmt::format("{}layers.{}.cross_attention.dropout", s.stack, index);
  return config;
}

nn::MlpConfig mlp_config(const ArchSpec& s, size_t index) {
  return {.hidden = s.hidden,
          .intermediate = s.intermediate,
          .activation = s.activation,
          .bias = s.mlp_bias,
          .order = s.order,
          .weight_init = weight_init(s, s.hidden),
          .output_init = residual_init(s, s.intermediate),
          .dropout = s.inner_dropout,
          .dropout_site = fmt::format("{}layers.{}.mlp.inner", s.stack, index)};
}

nn::MoeConfig moe_config(const ArchSpec& s, size_t index) {
  nn::MlpConfig expert = mlp_config(s, index);
  expert.intermediate = s.experts.intermediate;
  return {.expert = expert,
          .experts = s.experts.count,
          .chosen = s.experts.chosen,
          .normalised = s.experts.normalised,
          .shared_intermediate = s.experts.shared_intermediate,
          .router_init = nn::Init::normal(s.init_std)};
}

}  // namespace

std::shared_ptr<nn::Embedding> token_table(const ArchSpec& s) {
  return std::make_shared<nn::Embedding>(
      s.vocab, s.hidden, nn::Init::normal(s.init_std), s.padding_token.value_or(-1),
      s.tied_embeddings ? ops::TableGradient::kRows : ops::TableGradient::kDense);
}

std::shared_ptr<nn::RelativeBias> relative_bias(const ArchSpec& s) {
  return std::make_shared<nn::RelativeBias>(nn::RelativeBiasConfig{.buckets = s.buckets.count,
                                                                   .max_distance = s.buckets.max_distance,
                                                                   .heads = s.heads,
                                                                   .both_ways = s.bidirectional,
                                                                   .init = weight_init(s, s.hidden)});
}

TransformerLayer::TransformerLayer(const ArchSpec& s, size_t index, const nn::RngPtr& rng)
    : parallel_residual_(s.parallel_residual),
      post_norm_(s.post_norm),
      balanced_(s.experts.balance > 0),
      attention_dropout_(s.drops_attention_output ? s.residual_dropout : 0, rng,
                         fmt::format("{}layers.{}.attention", s.stack, index)),
      cross_dropout_(s.cross_attention ? s.residual_dropout : 0, rng,
                     fmt::format("{}layers.{}.cross_attention", s.stack, index)),
      mlp_dropout_(s.drops_mlp_output ? s.residual_dropout : 0, rng,
                   fmt::format("{}layers.{}.mlp", s.stack, index)) {
  DS_CHECK(
      !s.cross_attention || (!s.post_norm && !s.parallel_residual),
      "cross-attention is not available yet with norms after sums, or beside an MLP that reads the same");
  const auto norm = [&](const char* name) {
    return register_module(name, std::make_shared<nn::Norm>(s.norm, s.hidden, s.norm_eps));
  };
  norm1_ = norm("norm1");
  attention_ = register_module("attention", std::make_shared<nn::Attention>(attention_config(s, index), rng));
  if (s.branch_norms) attention_norm_ = norm("attention_norm");
  if (s.cross_attention) {
    cross_norm_ = norm("cross_norm");
    cross_attention_ =
        register_module("cross_attention", std::make_shared<nn::Attention>(cross_config(s, index), rng));
  }
  if (!s.shared_norm) norm2_ = norm("norm2");
  if (s.has_experts(index))
    moe_ = register_module("moe", std::make_shared<nn::Moe>(moe_config(s, index)));
  else
    mlp_ = register_module("mlp", std::make_shared<nn::Mlp>(mlp_config(s, index), rng));
  if (s.branch_norms) mlp_norm_ = norm("mlp_norm");
}

LayerOutput TransformerLayer::feed(const at::Tensor& x, const at::Tensor& residual) {
  const double p = mlp_dropout_.p(is_training());
  if (mlp_ && !mlp_norm_ && p == 0 && mlp_->adds_residual())
    return {mlp_->forward(x, residual), at::Tensor()};
  auto [fed, logits] = mlp_ ? std::pair(mlp_->forward(x), at::Tensor()) : moe_->forward(x);
  if (mlp_norm_) fed = mlp_norm_->forward(fed);
  return {ops::dropout_add(residual, fed, p, mlp_dropout_.key()), balanced_ ? logits : at::Tensor()};
}

at::Tensor TransformerLayer::attend_itself(const at::Tensor& x, const at::Tensor& seen,
                                           const nn::AttentionInputs& inputs) {
  const double p = attention_dropout_.p(is_training());
  if (!attention_norm_ && p == 0 && attention_->adds_residual()) return attention_->forward(seen, inputs, x);
  at::Tensor attended = attention_->forward(seen, inputs);
  if (attention_norm_) attended = attention_norm_->forward(attended);
  return ops::dropout_add(x, attended, p, attention_dropout_.key());
}

// x and what attention, of its own sequence and then of another, adds to it.
at::Tensor TransformerLayer::attend(const at::Tensor& x, const at::Tensor& seen,
                                    const nn::AttentionInputs& inputs, const nn::AttentionInputs& across) {
  const at::Tensor sum = attend_itself(x, seen, inputs);
  if (post_norm_) return norm1_->forward(sum);
  if (!cross_attention_) return sum;
  const at::Tensor crossed = cross_attention_->forward(cross_norm_->forward(sum), across);
  return ops::dropout_add(sum, crossed, cross_dropout_.p(is_training()), cross_dropout_.key());
}

LayerOutput TransformerLayer::compute(const at::Tensor& x, const nn::AttentionInputs& inputs,
                                      const nn::AttentionInputs& across) {
  const at::Tensor seen = post_norm_ ? x : norm1_->forward(x);
  const at::Tensor middle = attend(x, seen, inputs, across);
  at::Tensor input = post_norm_ ? middle : seen;  // of an MLP without a norm of its own before it
  if (!post_norm_ && norm2_) input = norm2_->forward(parallel_residual_ ? x : middle);
  const auto [out, logits] = feed(input, middle);
  return {post_norm_ ? norm2_->forward(out) : out, logits};
}

}  // namespace deepspeed::models
