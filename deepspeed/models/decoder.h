// The one decoder: every causal language model is this class under some ArchSpec.
#pragma once

#include <memory>
#include <vector>

#include "deepspeed/models/arch_spec.h"
#include "deepspeed/models/layer.h"
#include "deepspeed/models/memory.h"
#include "deepspeed/models/vocabulary_head.h"
#include "deepspeed/nn/kv_cache.h"
#include "deepspeed/nn/linear.h"

namespace deepspeed::models {

/// Parameters are unmaterialized after construction (nn/materializer.h). Token ids are [B, T] int64 in [0,
/// vocab).
///
/// `starts`, int32 [B, T], says where in its row the document of each position begins: rows of several
/// documents, none of which sees another and whose positions each count from 0. Without it a row is one
/// document. With a cache a row's places count from its first cached one; padding in front of a row is hidden
/// by making each of its places a document.
class Decoder : public nn::BlockModule<Decoder> {
 public:
  /// `rng` is the random state of dropout; may be null when the spec drops nothing. `embedding`: another
  /// Block's table of tokens, in the place of one of its own.
  Decoder(ArchSpec spec, nn::RngPtr rng, std::shared_ptr<nn::Embedding> embedding = nullptr);

  /// The mean cross-entropy of predicting labels[:, t] from ids[:, < t] (labels are shifted here, as Hugging
  /// Face does); labels [B, T], -100 is ignored: so should be the first label of every document. Scalar fp32.
  /// With spec.experts.balance, that many times nn::balance_loss is added.
  at::Tensor compute(const at::Tensor& ids, const at::Tensor& labels,
                     const std::optional<at::Tensor>& starts = std::nullopt);
  /// Final hidden states [B, T, hidden]. With a cache, ids are the places after cache->length(), which
  /// advances. Error where its keys were turned for shorter sequences (Rope::keeps_keys of spec().rope), and
  /// where rows that begin at different places would need angles of their own (dynamic, longrope). `memory`:
  /// what layers with cross-attention attend to.
  at::Tensor hidden_states(const at::Tensor& ids, nn::KvCache* cache = nullptr,
                           const std::optional<at::Tensor>& starts = std::nullopt, Memory* memory = nullptr);
  /// [B, T, vocab]; the whole of them, so for inference and tests.
  at::Tensor logits(const at::Tensor& ids, nn::KvCache* cache = nullptr,
                    const std::optional<at::Tensor>& starts = std::nullopt);
  /// What logits() makes of final hidden states [..., hidden]: [..., vocab].
  at::Tensor logits_of(const at::Tensor& hidden) { return head_->forward(scaled(hidden)); }
  /// The mean cross-entropy of labels [...] at final hidden states [..., hidden], -100 ignored. Scalar fp32.
  at::Tensor loss_of(const at::Tensor& hidden, const at::Tensor& labels) {
    return head_->forward(scaled(hidden), std::optional(labels));
  }

  const ArchSpec& spec() const { return spec_; }

 private:
  struct States {
    at::Tensor hidden;                      // [B, T, hidden], after the last norm
    std::vector<at::Tensor> router_logits;  // of the layers whose experts the loss balances
  };
  States run_layers(const at::Tensor& ids, nn::KvCache* cache, const std::optional<at::Tensor>& starts,
                    Memory* memory);
  at::Tensor scaled(const at::Tensor& hidden) const;  // for the head
  // The angles of `positions` [B, T], or of those after `offset`; nothing where positions are not rotary.
  std::optional<ops::RotaryTable> rotary_of(const Rope& rope, const at::Tensor& ids, int64_t offset,
                                            const std::optional<at::Tensor>& positions) const;
  // Positions [T], or [B, T] where documents start within rows.
  at::Tensor positions_of(const at::Tensor& ids, int64_t offset,
                          const std::optional<at::Tensor>& starts) const;
  /// Token (and learned position) embeddings of the positions after `offset`, before dropout.
  at::Tensor embed(const at::Tensor& ids, int64_t offset, const std::optional<at::Tensor>& starts);

  ArchSpec spec_;
  nn::DropoutSite embedding_dropout_, output_dropout_;
  std::shared_ptr<nn::Embedding> embedding_, positions_;
  std::shared_ptr<nn::RelativeBias> relative_;  // null where positions are others
  std::vector<std::shared_ptr<TransformerLayer>> layers_;
  std::shared_ptr<nn::Norm> embedding_norm_, norm_;
  std::shared_ptr<VocabularyHead> head_;
};

}  // namespace deepspeed::models
