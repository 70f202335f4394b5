#include <ATen/ATen.h>

#include <cmath>
#include <limits>

#include "deepspeed/base/error.h"
#include "deepspeed/ops/dropout.h"
#include "deepspeed/ops/formulas.h"

namespace deepspeed::ops::formula {
namespace {

// Keys that a query does not see, [T, S] or [B, 1, T, S]; undefined where every query sees every key.
at::Tensor hidden_keys(const at::Tensor& q, int64_t keys, const AttentionOptions& options) {
  const int64_t queries = q.size(2);
  const auto on_device = at::TensorOptions(at::kLong).device(q.device());
  const at::Tensor position = at::arange(keys - queries, keys, on_device).unsqueeze(1),
                   key = at::arange(keys, on_device).unsqueeze(0);
  at::Tensor hidden;
  const auto hide = [&](const at::Tensor& these) {
    hidden = hidden.defined() ? hidden.logical_or(these) : these;
  };
  if (options.causal && queries > 1) hide(key > position);
  if (options.window > 0) hide((position - key).abs() >= options.window);
  if (options.first_key.defined()) hide((key < options.first_key.to(q.device()).unsqueeze(2)).unsqueeze(1));
  if (options.end_key.defined()) hide((key >= options.end_key.to(q.device()).view({-1, 1, 1})).unsqueeze(1));
  return hidden;
}

// What is added to the scores, -inf where a key is hidden; undefined: nothing.
at::Tensor bias_of(const at::Tensor& q, int64_t keys, const AttentionOptions& options, at::ScalarType type) {
  const at::Tensor hidden = hidden_keys(q, keys, options);
  at::Tensor bias;
  if (options.alibi_slopes.defined()) {
    const auto on_device = at::TensorOptions(at::kFloat).device(q.device());
    const at::Tensor distance =
        at::arange(keys, on_device).unsqueeze(0) - at::arange(keys - q.size(2), keys, on_device).unsqueeze(1);
    bias = (options.alibi_slopes.to(q.device()).view({-1, 1, 1}) * distance).unsqueeze(0);
  } else if (hidden.defined()) {
    bias = at::zeros({1, 1}, at::TensorOptions(at::kFloat).device(q.device()));
  }
  if (options.bias.defined()) bias = bias.defined() ? options.bias + bias : options.bias;
  if (!bias.defined()) return {};
  if (hidden.defined()) bias = bias.masked_fill(hidden, -std::numeric_limits<float>::infinity());
  return bias.to(type);
}

// Scores and probabilities in fp32. The mask is that of rows padded to 16 keys (attention_mask_index).
at::Tensor by_whole_scores(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, double scale,
                           const AttentionOptions& options) {
  const int64_t keys = k.size(2), padded = (keys + 15) / 16 * 16;
  at::Tensor scores = at::matmul(q.to(at::kFloat), k.to(at::kFloat).transpose(2, 3)) * scale;
  if (options.softcap > 0) scores = at::tanh(scores / options.softcap) * options.softcap;
  if (const at::Tensor bias = bias_of(q, keys, options, at::kFloat); bias.defined()) scores = scores + bias;
  at::Tensor probabilities = at::softmax(scores, -1);
  if (options.dropout_p > 0) {
    const at::Tensor rows = at::constant_pad_nd(probabilities, {0, padded - keys});
    probabilities = dropout(rows, options.dropout_p, options.rng).narrow(3, 0, keys);
  }
  return at::matmul(probabilities, v.to(at::kFloat)).to(q.scalar_type());
}

}  // namespace

at::Tensor attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                     const AttentionOptions& options) {
  const int64_t group = q.size(1) / k.size(1);
  const auto whole = [&](const at::Tensor& t) { return group == 1 ? t : t.repeat_interleave(group, 1); };
  const double scale = options.scale.value_or(1 / std::sqrt(static_cast<double>(q.size(3))));
  // ATen's own kernels give a bias no gradient.
  const bool learns_bias =
      options.bias.defined() && options.bias.requires_grad() && at::GradMode::is_enabled();
  if (options.dropout_p > 0 || options.softcap > 0 || learns_bias)
    return by_whole_scores(q, whole(k), whole(v), scale, options);
  // The kernels' own causal mask is known to be right only where queries and keys are as many.
  const bool plain = options.window == 0 && !options.first_key.defined() && !options.end_key.defined() &&
                     !options.alibi_slopes.defined() && !options.bias.defined() &&
                     (q.size(2) == k.size(2) || !options.causal);
  at::Tensor bias;
  if (!plain) bias = bias_of(q, k.size(2), options, q.scalar_type());
  if (!bias.defined()) {
    // Flash attention reads a head of keys once for all its queries; ATen's other kernels know no groups.
    const bool grouped = group > 1 && q.scalar_type() != at::kFloat && q.size(3) <= 256;
    const auto keys_of = [&](const at::Tensor& t) { return grouped ? t : whole(t); };
    return at::scaled_dot_product_attention(q, keys_of(k), keys_of(v), {}, 0.0,
                                            plain && options.causal && q.size(2) > 1, scale, grouped);
  }
  bias = bias.expand({q.size(0), q.size(1), q.size(2), k.size(2)});
  return at::scaled_dot_product_attention(q, whole(k), whole(v), bias, 0.0, false, scale);
}

}  // namespace deepspeed::ops::formula
