#include "deepspeed/models/layer.h"

#include <fmt/format.h>

#include <cmath>

#include "deepspeed/ops/dropout.h"

namespace deepspeed::models {
namespace {

nn::Init residual_init(const ArchSpec& s) {
  return nn::Init::normal(s.scaled_residual_init ? s.init_std / std::sqrt(2.0 * static_cast<double>(s.layers))
                                                 : s.init_std);
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
          .alibi = s.positions == Positions::kAlibi,
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

}  // namespace

TransformerLayer::TransformerLayer(const ArchSpec& s, size_t index, const nn::RngPtr& rng)
    : parallel_residual_(s.parallel_residual),
      post_norm_(s.post_norm),
      attention_dropout_(s.residual_dropout, rng, fmt::format("layers.{}.attention", index)),
      mlp_dropout_(s.residual_dropout, rng, fmt::format("layers.{}.mlp", index)) {
  norm1_ = register_module("norm1", std::make_shared<nn::Norm>(s.norm, s.hidden, s.norm_eps));
  attention_ = register_module("attention", std::make_shared<nn::Attention>(attention_config(s, index), rng));
  norm2_ = register_module("norm2", std::make_shared<nn::Norm>(s.norm, s.hidden, s.norm_eps));
  mlp_ = register_module("mlp", std::make_shared<nn::Mlp>(mlp_config(s)));
}

at::Tensor TransformerLayer::compute(const at::Tensor& x, const std::optional<ops::RotaryTable>& rotary,
                                     nn::KvCache* cache, const std::optional<at::Tensor>& starts,
                                     const std::optional<at::Tensor>& ends) {
  const at::Tensor attended =
      attention_->forward(post_norm_ ? x : norm1_->forward(x), rotary, cache, starts, ends);
  at::Tensor middle =
      ops::dropout_add(x, attended, attention_dropout_.p(is_training()), attention_dropout_.key());
  if (post_norm_) middle = norm1_->forward(middle);
  const at::Tensor fed =
      mlp_->forward(post_norm_ ? middle : norm2_->forward(parallel_residual_ ? x : middle));
  const at::Tensor out = ops::dropout_add(middle, fed, mlp_dropout_.p(is_training()), mlp_dropout_.key());
  return post_norm_ ? norm2_->forward(out) : out;
}

}  // namespace deepspeed::models
