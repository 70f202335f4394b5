// Attention as a Block: projections, optional rotary positions, the fused attention op, optional caches; to
// the sequence itself, or to a memory of another one.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "deepspeed/nn/disentangled.h"
#include "deepspeed/nn/dropout.h"
#include "deepspeed/nn/kv_cache.h"
#include "deepspeed/nn/linear.h"
#include "deepspeed/nn/memory_keys.h"
#include "deepspeed/nn/norm.h"
#include "deepspeed/ops/attention.h"
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
  std::string dropout_site = "attention.dropout";
  Init weight_init, output_init;     // the output projection may be scaled down with depth
  std::optional<Init> query_init{};  // of the queries' projection, where it is another
  std::optional<DisentangledParts> disentangled{};
  double distance_dropout = 0;  // of what distances are projected from
  bool cross = false;           // keys and values are made of a memory; never causal
};

/// What attention is given beside the states that ask.
struct AttentionInputs {
  std::optional<ops::RotaryTable> rotary{};  // turns queries and keys; row t belongs to x's position t
  KvCache* cache = nullptr;                  // x holds the positions after cache->length()
  /// As in ops::AttentionOptions: rows that hold several documents, rows that end in padding, what is added
  /// to the scores.
  std::optional<at::Tensor> first_key{}, end_key{};
  at::Tensor bias{};
  Distances distances{};  // of disentangled attention
  at::Tensor memory{};    // [B, S, hidden], of cross-attention
  MemoryKeys* memory_keys =
      nullptr;  // where its keys and values are kept; once they are, no memory is needed
};

template <class F>
void visit_tensors(AttentionInputs& in, F&& visit) {
  visit_tensors(in.first_key, visit);
  visit_tensors(in.end_key, visit);
  visit_tensors(in.bias, visit);
  visit_tensors(in.distances.embeddings, visit);
  visit_tensors(in.distances.rows, visit);
  visit_tensors(in.memory, visit);
}

class Attention : public BlockModule<Attention> {
 public:
  Attention(const AttentionConfig& config, const RngPtr& rng);
  /// x [B, T, hidden] -> [B, T, hidden]; the sum of that and `residual`, where there is one.
  at::Tensor compute(const at::Tensor& x, const AttentionInputs& inputs = {},
                     const at::Tensor& residual = {});
  /// Whether that sum takes no pass of its own.
  bool adds_residual() const { return output_->projection().adds_residual(); }

  /// From now on it computes only the heads [first, first + heads) of those it was made for: its projections
  /// give so many queries and `kv_heads` keys and values, and take so many heads. The caller replaces them.
  void keep_heads(int64_t first, int64_t heads, int64_t kv_heads);
  /// Puts one projection, hidden -> [q | k | v], in the place of three: the module "qkv" in that of "query",
  /// "key" and "value". An Error where it has one already, and where keys are not of what queries are of.
  void fuse_qkv(std::unique_ptr<Projection> projection);
  bool fuses_qkv() const {
    return !config_.cross && !(config_.disentangled && config_.disentangled->shared_projections);
  }

 private:
  struct Heads {
    at::Tensor q, k, v;  // [B, H or Hkv, T, D], views of the projections' outputs
  };
  at::Tensor split(const at::Tensor& t, int64_t heads) const;
  Heads project(const at::Tensor& x);
  /// What distances add to the scores.
  at::Tensor distance_scores(const Heads& heads, const Distances& distances);
  Heads project_across(const at::Tensor& x, const AttentionInputs& inputs);
  ops::AttentionOptions options_of(const AttentionInputs& inputs, const at::Device& device);

  AttentionConfig config_;
  DropoutSite dropout_, distance_dropout_;
  std::shared_ptr<Linear> qkv_, query_, key_, value_, output_;
  std::shared_ptr<Linear> distance_query_, distance_key_;  // where distances have projections of their own
  std::shared_ptr<Norm> query_norm_, key_norm_;
};

}  // namespace deepspeed::nn
