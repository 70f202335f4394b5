#include "deepspeed/ops/reference/attention.h"

#include <ATen/ATen.h>

#include <cmath>
#include <limits>

namespace deepspeed::ops::reference {
namespace {

at::Tensor hidden_keys(int64_t queries, int64_t keys, const AttentionOptions& options) {
  const at::Tensor position = at::arange(keys - queries, keys).unsqueeze(1),
                   key = at::arange(keys).unsqueeze(0);
  at::Tensor hidden = at::zeros({queries, keys}, at::kBool);
  if (options.causal) hidden = hidden.logical_or(key > position);
  if (options.window > 0) hidden = hidden.logical_or((position - key).abs() >= options.window);
  // [B, 1, T, S]
  if (options.first_key.defined())
    hidden = hidden.logical_or(key < options.first_key.unsqueeze(2)).unsqueeze(1);
  if (options.end_key.defined())
    hidden = hidden.logical_or(key >= options.end_key.view({-1, 1, 1})).unsqueeze(1);
  return hidden;
}

at::Tensor attention_mask(const at::Tensor& probabilities, const AttentionOptions& options) {
  const int64_t keys = probabilities.size(3), rows = probabilities.numel() / keys;
  at::Tensor mask = at::empty({rows, keys}, at::kFloat);
  auto element = mask.accessor<float, 2>();
  for (int64_t row = 0; row < rows; ++row) {
    for (int64_t s = 0; s < keys; ++s) {
      const uint64_t index = attention_mask_index(static_cast<uint64_t>(row), s, keys);
      const bool keep = accel::uniform(options.rng, index) >= options.dropout_p;
      element[row][s] =
          keep && options.dropout_p < 1 ? static_cast<float>(1 / (1 - options.dropout_p)) : 0.0f;
    }
  }
  return mask.view(probabilities.sizes()).to(probabilities.scalar_type());
}

at::Tensor linear_bias(int64_t queries, int64_t keys, const at::Tensor& slopes) {
  const at::Tensor position = at::arange(keys - queries, keys).unsqueeze(1),
                   key = at::arange(keys).unsqueeze(0);
  return slopes.view({-1, 1, 1}) * (key - position);
}

}  // namespace

at::Tensor attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                     const AttentionOptions& options) {
  const int64_t group = q.size(1) / k.size(1);
  const at::Tensor keys = k.repeat_interleave(group, 1), values = v.repeat_interleave(group, 1);
  const double scale = options.scale.value_or(1 / std::sqrt(static_cast<double>(q.size(3))));
  at::Tensor scores = at::matmul(q, keys.transpose(2, 3)) * scale;
  if (options.softcap > 0) scores = at::tanh(scores / options.softcap) * options.softcap;
  if (options.alibi_slopes.defined())
    scores = scores + linear_bias(q.size(2), k.size(2), options.alibi_slopes.to(q.scalar_type()));
  if (options.bias.defined()) scores = scores + options.bias.to(q.scalar_type());
  scores = scores.masked_fill(hidden_keys(q.size(2), k.size(2), options),
                              -std::numeric_limits<double>::infinity());
  at::Tensor probabilities = at::softmax(scores, -1);
  if (options.dropout_p > 0) probabilities = probabilities * attention_mask(probabilities, options);
  return at::matmul(probabilities, values);
}

}  // namespace deepspeed::ops::reference
