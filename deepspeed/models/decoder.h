// The one decoder: every causal language model is this class under some ArchSpec.
#pragma once

#include <memory>
#include <vector>

#include "deepspeed/models/arch_spec.h"
#include "deepspeed/nn/attention.h"
#include "deepspeed/nn/dropout.h"
#include "deepspeed/nn/kv_cache.h"
#include "deepspeed/nn/linear.h"

namespace deepspeed::models {

class DecoderLayer : public nn::BlockModule<DecoderLayer> {
 public:
  DecoderLayer(const ArchSpec& spec, size_t index, const nn::RngPtr& rng);
  /// x [B, T, hidden] -> [B, T, hidden]
  at::Tensor compute(const at::Tensor& x, const ops::RotaryTable* rotary, nn::KvCache* cache);

 private:
  bool parallel_residual_;
  nn::DropoutSite attention_dropout_, mlp_dropout_;
  std::shared_ptr<nn::Norm> norm1_, norm2_;
  std::shared_ptr<nn::Attention> attention_;
  std::shared_ptr<nn::Mlp> mlp_;
};

/// Parameters are unmaterialized after construction (nn/materializer.h). Token ids are [B, T] int64 in [0,
/// vocab).
class Decoder : public nn::BlockModule<Decoder> {
 public:
  /// `rng` is the random state of dropout; may be null when the spec drops nothing.
  Decoder(ArchSpec spec, nn::RngPtr rng);

  /// The mean cross-entropy of predicting labels[:, t] from ids[:, < t] (labels are shifted here, as Hugging
  /// Face does); labels [B, T], -100 is ignored. Scalar fp32.
  at::Tensor compute(const at::Tensor& ids, const at::Tensor& labels);
  /// Final hidden states [B, T, hidden]. With a cache, ids are the positions after cache->length(), which
  /// advances.
  at::Tensor hidden_states(const at::Tensor& ids, nn::KvCache* cache = nullptr);
  /// [B, T, vocab]; the whole of them, so for inference and tests.
  at::Tensor logits(const at::Tensor& ids, nn::KvCache* cache = nullptr);

  const ArchSpec& spec() const { return spec_; }

 private:
  const at::Tensor& head_weight() const;
  /// Token (and learned position) embeddings of the positions after `offset`, before dropout.
  at::Tensor embed(const at::Tensor& ids, int64_t offset);

  ArchSpec spec_;
  nn::DropoutSite embedding_dropout_;
  std::shared_ptr<nn::Embedding> embedding_, positions_, head_;
  std::vector<std::shared_ptr<DecoderLayer>> layers_;
  std::shared_ptr<nn::Norm> embedding_norm_, norm_;
};

}  // namespace deepspeed::models
