#include "deepspeed/models/activation_size.h"

#include <algorithm>

#include "deepspeed/models/size.h"
#include "deepspeed/ops/cross_entropy_tiles.h"

namespace deepspeed::models {
namespace {

constexpr double kFp32 = 4;

struct Widths {
  explicit Widths(const ArchSpec& s)
      : hidden(static_cast<double>(s.hidden)),
        intermediate(static_cast<double>(s.intermediate)),
        heads(static_cast<double>(s.heads)),
        query(heads * static_cast<double>(s.head_dim)),
        key(static_cast<double>(s.kv_heads * s.head_dim)) {}
  double hidden, intermediate, heads, query, key;
};

// What attention reads. Rotated queries and keys are new; the values then are a view of the fused projection,
// which stays with them.
double attention_inputs(const ArchSpec& s, const Widths& w) {
  const double all = w.query + 2 * w.key;
  return s.positions == Positions::kRotary && s.fused_qkv ? all + w.query + w.key : all;
}

// A gated MLP keeps both factors and their product, ReLU its result, GELU its argument and result.
double mlp_inner(const ArchSpec& s, const Widths& w) {
  switch (s.activation) {
    case nn::Activation::kSwiGlu:
      return 3 * w.intermediate;
    case nn::Activation::kRelu:
      return w.intermediate;
    default:
      return 2 * w.intermediate;
  }
}

// Bytes a token that one layer keeps from forward to backward.
double layer_bytes(const ArchSpec& s, const ActivationSetting& setting) {
  const Widths w(s);
  const double norms = s.parallel_residual ? 1 : 2;  // what they read; two that read the same keep it once
  const double stream = norms * w.hidden;
  const double products = 2 * w.hidden + attention_inputs(s, w) + w.query + mlp_inner(s, w);
  const double statistics = w.heads + 4;  // of attention and the norms, in fp32
  return stream * static_cast<double>(setting.stream_bytes) +
         products * static_cast<double>(setting.product_bytes) + statistics * kFp32;
}

// Bytes a token that the backward of a layer has at once: the gradients of the MLP's inner values and of the
// stream.
double backward_bytes(const ArchSpec& s, const ActivationSetting& setting) {
  const Widths w(s);
  const double inner = s.activation == nn::Activation::kSwiGlu ? 3 : 2;
  return inner * w.intermediate * static_cast<double>(setting.product_bytes) +
         2 * w.hidden * static_cast<double>(setting.stream_bytes);
}

// Bytes while the loss is computed.
double head_bytes(const ArchSpec& s, const ActivationSetting& setting) {
  const double tokens = static_cast<double>(setting.batch * setting.length);
  const auto rows = static_cast<int64_t>(setting.predicted * tokens);
  if (rows == 0) return 0;
  const auto vocabulary = static_cast<double>(s.vocab), hidden = static_cast<double>(s.hidden);
  const auto tile = ops::plan_cross_entropy(rows, s.vocab, /*gradients=*/true);
  const double logits = static_cast<double>(tile.rows) * vocabulary * kFp32;
  const double states = static_cast<double>(rows) * hidden *
                        (static_cast<double>(setting.stream_bytes + setting.product_bytes) + kFp32);
  return logits + states + (setting.head_gradient_in_place ? 0 : vocabulary * hidden * kFp32);
}

}  // namespace

double activation_bytes(const ArchSpec& spec, const ActivationSetting& setting) {
  const double tokens = static_cast<double>(setting.batch * setting.length);
  const auto layers = static_cast<double>(spec.layers);
  const double layer = tokens * layer_bytes(spec, setting);
  const double input = tokens * static_cast<double>(spec.hidden * setting.stream_bytes);
  const double kept = (setting.recomputed ? layers * input : layers * layer) + input;
  const double within_layer = tokens * backward_bytes(spec, setting) + (setting.recomputed ? layer : 0);
  const double casts = setting.stream_bytes == setting.product_bytes
                           ? 0
                           : approximate_parameters(spec) * static_cast<double>(setting.product_bytes);
  return kept + casts + std::max(head_bytes(spec, setting), within_layer);
}

}  // namespace deepspeed::models
