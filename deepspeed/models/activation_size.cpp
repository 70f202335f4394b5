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

// What attention reads. Turned queries and keys are new; the values then are a view of the fused projection,
// which stays with them. Norms keep what they read, too.
double attention_inputs(const ArchSpec& s, const Widths& w) {
  const double all = w.query + 2 * w.key, turned = w.query + w.key;
  const bool rotary = s.positions == Positions::kRotary;
  return all + (s.head_norm || (rotary && s.fused_qkv) ? turned : 0);
}

// A gated MLP keeps both factors and their product, ReLU its result, GELU its argument and result.
double inner_values(const ArchSpec& s) {
  if (nn::is_gated(s.activation)) return 3;
  return s.activation == nn::Activation::kRelu ? 1 : 2;
}

double mlp_inner(const ArchSpec& s, const Widths& w) { return inner_values(s) * w.intermediate; }

// A token's rows as they go to its experts and as they come back, and what is inside; of the shared expert
// also what its gate multiplies.
double experts_inner(const ArchSpec& s, const Widths& w) {
  const auto chosen = static_cast<double>(s.experts.chosen);
  const auto shared = static_cast<double>(s.experts.shared_intermediate);
  return chosen * (2 * w.hidden + inner_values(s) * static_cast<double>(s.experts.intermediate)) +
         (shared > 0 ? w.hidden + inner_values(s) * shared : 0);
}

// fp32 numbers a token: logits and probabilities, and four indices and a share for every expert that it goes
// to.
double router_statistics(const ArchSpec& s) {
  return 2 * static_cast<double>(s.experts.count) + 9 * static_cast<double>(s.experts.chosen);
}

// Bytes a token that one layer keeps from forward to backward.
double layer_bytes(const ArchSpec& s, const ActivationSetting& setting, bool sparse) {
  const Widths w(s);
  const double norms = s.parallel_residual ? 1 : 2;  // what they read; two that read the same keep it once
  const double stream = norms * w.hidden;
  const double branches = s.branch_norms ? 2 * w.hidden : 0;
  const double products = (s.shared_norm ? 1 : 2) * w.hidden + branches + attention_inputs(s, w) + w.query +
                          (sparse ? experts_inner(s, w) : mlp_inner(s, w));
  const double statistics = w.heads + 4 + (s.head_norm ? 2 * w.heads : 0) +
                            (sparse ? router_statistics(s) : 0);  // of attention and the norms, in fp32
  return stream * static_cast<double>(setting.stream_bytes) +
         products * static_cast<double>(setting.product_bytes) + statistics * kFp32;
}

// Bytes a token that the backward of a layer has at once: the gradients of the MLP's inner values, or of the
// rows of its experts, and of the stream.
double backward_bytes(const ArchSpec& s, const ActivationSetting& setting, bool sparse) {
  const Widths w(s);
  const double inner = nn::is_gated(s.activation) ? 3 : 2;
  const double mlp = sparse ? 3 * static_cast<double>(s.experts.chosen) * w.hidden : inner * w.intermediate;
  return mlp * static_cast<double>(setting.product_bytes) +
         2 * w.hidden * static_cast<double>(setting.stream_bytes);
}

// Bytes of the fp32 copies that the backward of the MLP's last product has at once: what it gives a gradient
// for, its factors and that gradient, of all tokens or those that an expert gets on average.
double widened_bytes(const ArchSpec& s, double tokens, bool sparse) {
  const Widths w(s);
  const double inner = sparse ? static_cast<double>(s.experts.intermediate) : w.intermediate;
  const double rows =
      sparse ? tokens * static_cast<double>(s.experts.chosen) / static_cast<double>(s.experts.count) : tokens;
  return (rows * w.hidden + (rows + w.hidden) * inner) * kFp32;
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
  const double copies = setting.widened ? 2 * vocabulary * hidden * kFp32 : 0;  // of the table, its gradient
  return logits + states + copies + (setting.head_gradient_in_place ? 0 : vocabulary * hidden * kFp32);
}

}  // namespace

double activation_bytes(const ArchSpec& spec, const ActivationSetting& setting) {
  const double tokens = static_cast<double>(setting.batch * setting.length);
  const double layers = static_cast<double>(spec.depth()), sparse = layers_with_experts(spec);
  const auto all = [&](double dense_layers, double sparse_layers) {
    return tokens * (dense_layers * layer_bytes(spec, setting, false) +
                     sparse_layers * layer_bytes(spec, setting, true));
  };
  const double input = tokens * static_cast<double>(spec.hidden * setting.stream_bytes);
  const double kept = (setting.recomputed ? layers * input : all(layers - sparse, sparse)) + input;
  const bool dense_only = sparse == 0;
  const double within_layer = tokens * backward_bytes(spec, setting, !dense_only) +
                              (setting.widened ? widened_bytes(spec, tokens, !dense_only) : 0) +
                              (setting.recomputed ? all(dense_only ? 1 : 0, dense_only ? 0 : 1) : 0);
  const double casts = setting.stream_bytes == setting.product_bytes
                           ? 0
                           : approximate_parameters(spec) * static_cast<double>(setting.product_bytes);
  return kept + casts + std::max(head_bytes(spec, setting), within_layer);
}

}  // namespace deepspeed::models
