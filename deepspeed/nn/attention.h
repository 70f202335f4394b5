// Self-attention as a Block: projections, optional rotary positions, the fused attention op, optional
// KvCache.
#pragma once

#include <memory>
#include <optional>

#include "deepspeed/nn/dropout.h"
#include "deepspeed/nn/kv_cache.h"
#include "deepspeed/nn/linear.h"
#include "deepspeed/nn/norm.h"
#include "deepspeed/ops/rotary.h"

namespace deepspeed::nn {

struct AttentionConfig {
  size_t layer = 0;  // index in the model: the cache's slot
  int64_t hidden = 0, heads = 0, kv_heads = 0, head_dim = 0;
  bool fused_qkv = false;  // one projection [q | k | v] (GPT-2) or three (LLaMA)
  bool qkv_bias = false, output_bias = false;
  WeightOrder order = WeightOrder::kOutIn;
  int64_t window = 0;  // 0: no sliding window
  bool causal = true;
  std::optional<double> scale;        // of the scores; nothing: 1/sqrt(head_dim)
  double softcap = 0;                 // of the scaled scores (ops::AttentionOptions); 0: none
  std::optional<NormKind> head_norm;  // of every head's queries and of its keys, before they are turned
  double norm_eps = 1e-5;
  at::Tensor alibi_slopes{};  // [heads], linear biases (ops::AttentionOptions); undefined: none
  double attention_dropout = 0;
  Init weight_init, output_init;  // the output projection may be scaled down with depth
};

class Attention : public BlockModule<Attention> {
 public:
  Attention(const AttentionConfig& config, const RngPtr& rng);
  /// x [B, T, hidden] -> [B, T, hidden]. `rotary` turns queries and keys (nothing: positions are
  /// not rotary); row t of it belongs to x's position t. With a cache (may be null), x holds the positions
  /// after cache->length(). `first_key` and `end_key` as in ops::AttentionOptions: rows that hold several
  /// documents, rows that end in padding.
  at::Tensor compute(const at::Tensor& x, const std::optional<ops::RotaryTable>& rotary, KvCache* cache,
                     const std::optional<at::Tensor>& first_key = std::nullopt,
                     const std::optional<at::Tensor>& end_key = std::nullopt);

  /// From now on it computes only the heads [first, first + heads) of those it was made for: its projections
  /// give so many queries and `kv_heads` keys and values, and take so many heads. The caller replaces them.
  void keep_heads(int64_t first, int64_t heads, int64_t kv_heads);
  /// Puts one projection, hidden -> [q | k | v], in the place of three: the module "qkv" in that of "query",
  /// "key" and "value". An Error where it has one already.
  void fuse_qkv(std::unique_ptr<Projection> projection);

 private:
  struct Heads {
    at::Tensor q, k, v;  // [B, H or Hkv, T, D], views of the projections' outputs
  };
  Heads project(const at::Tensor& x);

  AttentionConfig config_;
  DropoutSite dropout_;
  std::shared_ptr<Linear> qkv_, query_, key_, value_, output_;
  std::shared_ptr<Norm> query_norm_, key_norm_;
};

}  // namespace deepspeed::nn
