// From hidden states to the vocabulary: what every language model ends with.
#pragma once

#include "deepspeed/nn/block.h"
#include "deepspeed/nn/linear.h"

namespace deepspeed::models {

/// Label that no loss counts, as in Hugging Face.
constexpr int64_t kIgnoredLabel = -100;

/// Multiplies by the transposed table of token embeddings, its own ("weight") or another Block's.
class VocabularyHead : public nn::BlockModule<VocabularyHead> {
 public:
  VocabularyHead(int64_t vocabulary, int64_t hidden, nn::Init init);
  /// Tied: reads `table` [V, C], and `bias` [V] where defined, which other Blocks hold.
  explicit VocabularyHead(const at::Tensor& table, const at::Tensor& bias = {});
  /// Its own table with a bias of another Block's.
  VocabularyHead(int64_t vocabulary, int64_t hidden, nn::Init init, const at::Tensor& bias);

  /// hidden [..., C]. Without labels the logits [..., V]; with labels [...] the mean cross-entropy over those
  /// that are not kIgnoredLabel, scalar fp32, for which the logits never exist at once.
  at::Tensor compute(const at::Tensor& hidden, const std::optional<at::Tensor>& labels = std::nullopt);

  std::vector<nn::TorchLayer> torch_layers() const override;

 private:
  at::Tensor weight_;               // [V, C]
  std::optional<at::Tensor> bias_;  // [V]
};

}  // namespace deepspeed::models
