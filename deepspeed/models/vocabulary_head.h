// From hidden states to the vocabulary: what every language model ends with.
#pragma once

#include <functional>

#include "deepspeed/nn/block.h"
#include "deepspeed/nn/linear.h"
#include "deepspeed/nn/together.h"
#include "deepspeed/ops/packed_weight.h"

namespace deepspeed::models {

/// Label that no loss counts, as in Hugging Face.
constexpr int64_t kIgnoredLabel = -100;

struct VocabularyHeadOptions {
  int64_t vocabulary = 0, hidden = 0;
  nn::Init init{};
  at::Tensor table{};     // [V, C] of another Block, multiplied by in place of a "weight" of its own
  at::Tensor bias{};      // [V] of another Block, added to the logits
  bool own_bias = false;  // a "bias" of its own, in place of that one
  double softcap = 0;     // of the logits (ops::linear_cross_entropy); 0: none
};

/// Multiplies by the transposed table of token embeddings.
class VocabularyHead : public nn::BlockModule<VocabularyHead> {
 public:
  explicit VocabularyHead(const VocabularyHeadOptions& options);

  /// hidden [..., C]. Without labels the logits [..., V]; with labels [...] the mean cross-entropy over those
  /// that are not kIgnoredLabel, scalar fp32, for which the logits never exist at once.
  at::Tensor compute(const at::Tensor& hidden, const std::optional<at::Tensor>& labels = std::nullopt);

  /// Its table holds some of the rows; the logits of all are joined. With labels, too, they then exist at
  /// once.
  void share(nn::Together together) { together_ = std::move(together); }

  /// hidden [..., C] -> [..., V], the bias added: how it multiplies where its table is not in memory as a
  /// whole. There is then no loss any more.
  using Product = std::function<at::Tensor(const at::Tensor& hidden)>;
  void set_product(Product product) { product_ = std::move(product); }

  /// [V, C], its own or another Block's; undefined once it is packed.
  const at::Tensor& weight() const { return weight_; }
  /// [V]
  const std::optional<at::Tensor>& bias() const { return bias_; }

  std::vector<nn::TorchLayer> torch_layers() const override;

  /// Multiplies by that from now on, bias included (models::pack_head); there is then no loss any more. A
  /// weight of its own gives its memory back, a table of another Block stays.
  void pack(ops::PackedWeight packed);
  /// What pack() made; null before.
  const ops::PackedWeight* packed() const { return packed_ ? &*packed_ : nullptr; }

 private:
  at::Tensor logits_of(const at::Tensor& hidden) const;
  at::Tensor multiply(const at::Tensor& hidden) const;

  nn::Together together_;
  Product product_;
  double softcap_;
  at::Tensor weight_;               // [V, C]
  std::optional<at::Tensor> bias_;  // [V]
  std::optional<ops::PackedWeight> packed_;
};

}  // namespace deepspeed::models
