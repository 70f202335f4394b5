#include "deepspeed/models/layer.h"

#include <fmt/format.h>

#include <cmath>

#include "deepspeed/ops/attention.h"
#include "deepspeed/ops/dropout.h"

namespace deepspeed::models {
namespace {

nn::Init residual_init(const ArchSpec& s) {
  return nn::Init::normal(s.scaled_residual_init ? s.init_std / std::sqrt(2.0 * static_cast<double>(s.layers))
                                                 : s.init_std);
}

at::Tensor alibi_slopes(const ArchSpec& s) {
  if (s.positions != Positions::kAlibi) return {};
  const at::Tensor slopes = ops::alibi_slopes(s.heads);
  return (s.alibi_in_bf16 ? slopes.to(at::kBFloat16).to(at::kFloat) : slopes) * s.alibi_scale;
}

nn::AttentionConfig attention_config(const ArchSpec& s, size_t index) {
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
          .weight_init = nn::Init::normal(s.init_std),
          .output_init = residual_init(s)};
}

nn::MlpConfig mlp_config(const ArchSpec& s) {
  return {.hidden = s.hidden,
          .intermediate = s.intermediate,
          .activation = s.activation,
          .bias = s.mlp_bias,
          .order = s.order,
          .weight_init = nn::Init::normal(s.init_std),
          .output_init = residual_init(s)};
}

nn::MoeConfig moe_config(const ArchSpec& s) {
  nn::MlpConfig expert = mlp_config(s);
  expert.intermediate = s.experts.intermediate;
  return {.expert = expert,
          .experts = s.experts.count,
          .chosen = s.experts.chosen,
          .normalised = s.experts.normalised,
          .shared_intermediate = s.experts.shared_intermediate,
          .router_init = nn::Init::normal(s.init_std)};
}

}  // namespace

TransformerLayer::TransformerLayer(const ArchSpec& s, size_t index, const nn::RngPtr& rng)
    : parallel_residual_(s.parallel_residual),
      post_norm_(s.post_norm),
      balanced_(s.experts.balance > 0),
      attention_dropout_(s.drops_attention_output ? s.residual_dropout : 0, rng,
                         fmt::format("layers.{}.attention", index)),
      mlp_dropout_(s.drops_mlp_output ? s.residual_dropout : 0, rng, fmt::format("layers.{}.mlp", index)) {
  const auto norm = [&](const char* name) {
    return register_module(name, std::make_shared<nn::Norm>(s.norm, s.hidden, s.norm_eps));
  };
  norm1_ = norm("norm1");
  attention_ = register_module("attention", std::make_shared<nn::Attention>(attention_config(s, index), rng));
  if (s.branch_norms) attention_norm_ = norm("attention_norm");
  if (!s.shared_norm) norm2_ = norm("norm2");
  if (s.has_experts(index))
    moe_ = register_module("moe", std::make_shared<nn::Moe>(moe_config(s)));
  else
    mlp_ = register_module("mlp", std::make_shared<nn::Mlp>(mlp_config(s)));
  if (s.branch_norms) mlp_norm_ = norm("mlp_norm");
}

LayerOutput TransformerLayer::feed(const at::Tensor& x) {
  if (mlp_) return {mlp_->forward(x), at::Tensor()};
  auto [y, logits] = moe_->forward(x);
  return {y, balanced_ ? logits : at::Tensor()};
}

LayerOutput TransformerLayer::compute(const at::Tensor& x, const std::optional<ops::RotaryTable>& rotary,
                                      nn::KvCache* cache, const std::optional<at::Tensor>& starts,
                                      const std::optional<at::Tensor>& ends) {
  const at::Tensor seen = post_norm_ ? x : norm1_->forward(x);
  at::Tensor attended = attention_->forward(seen, rotary, cache, starts, ends);
  if (attention_norm_) attended = attention_norm_->forward(attended);
  at::Tensor middle =
      ops::dropout_add(x, attended, attention_dropout_.p(is_training()), attention_dropout_.key());
  if (post_norm_) middle = norm1_->forward(middle);
  at::Tensor input = post_norm_ ? middle : seen;  // of an MLP without a norm of its own before it
  if (!post_norm_ && norm2_) input = norm2_->forward(parallel_residual_ ? x : middle);
  auto [fed, logits] = feed(input);
  if (mlp_norm_) fed = mlp_norm_->forward(fed);
  const at::Tensor out = ops::dropout_add(middle, fed, mlp_dropout_.p(is_training()), mlp_dropout_.key());
  return {post_norm_ ? norm2_->forward(out) : out, logits};
}

}  // namespace deepspeed::models
