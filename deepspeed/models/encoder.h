// The one encoder: bidirectional models are this class under some ArchSpec, with a head of encoder_heads.h.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "deepspeed/models/arch_spec.h"
#include "deepspeed/models/layer.h"
#include "deepspeed/nn/linear.h"

namespace deepspeed::models {

/// A batch as encoders take it. Rows shorter than the batch end in padding.
struct EncoderInput {
  at::Tensor ids;                         // int64 [B, T], in [0, vocab)
  std::optional<at::Tensor> token_types;  // int64 [B, T], in [0, spec.token_types); nothing: 0 everywhere
  std::optional<at::Tensor> ends;         // int32 [B], where each row's padding begins; nothing: nowhere
};

/// Parameters are unmaterialized after construction (nn/materializer.h).
class Encoder : public nn::BlockModule<Encoder> {
 public:
  /// `rng` is the random state of dropout; may be null when the spec drops nothing. `embedding`: another
  /// Block's table of tokens, in the place of one of its own.
  Encoder(const ArchSpec& spec, const nn::RngPtr& rng, std::shared_ptr<nn::Embedding> embedding = nullptr);
  /// -> [B, T, hidden]. What comes out at padding has no meaning. Errors: ids of another shape or type, more
  /// positions than the model has.
  at::Tensor compute(const at::Tensor& ids, const std::optional<at::Tensor>& token_types,
                     const std::optional<at::Tensor>& ends);
  /// The table of token embeddings [vocab, hidden], or as wide as spec.embedding_width says.
  const at::Tensor& embedding_weight() const { return embedding_->weight(); }

 private:
  at::Tensor embed(const at::Tensor& ids, const std::optional<at::Tensor>& token_types);
  nn::Distances distances_of(const at::Tensor& ids);
  at::Tensor positions_of(const at::Tensor& ids) const;

  int64_t max_positions_, position_offset_, counted_padding_;  // the last one -1: positions count all tokens
  nn::DropoutSite embedding_dropout_, output_dropout_;
  std::shared_ptr<nn::Embedding> embedding_, positions_, token_types_;  // the last two may be null
  std::shared_ptr<nn::RelativeBias> relative_;                          // null where positions are others
  nn::DistanceTable distance_table_;
  std::shared_ptr<nn::Embedding> distances_;  // null without disentangled attention
  std::shared_ptr<nn::Norm> distance_norm_;
  std::shared_ptr<nn::Norm> embedding_norm_;  // null where there is none
  std::shared_ptr<nn::Norm> norm_;            // after the layers; null where they end in one themselves
  std::shared_ptr<nn::Linear> widening_;      // null where tables are as wide as the layers
  std::vector<std::shared_ptr<TransformerLayer>> layers_;
  std::vector<size_t> layer_order_;
};

}  // namespace deepspeed::models
