// One layer of a transformer, of decoders and encoders alike: attention and MLP, each with its norm and
// residual.
#pragma once

#include <memory>
#include <optional>

#include "deepspeed/models/arch_spec.h"
#include "deepspeed/nn/attention.h"
#include "deepspeed/nn/dropout.h"

namespace deepspeed::models {

/// Norms stand before attention and MLP (which may read the same input, spec.parallel_residual), or, with
/// spec.post_norm, after each residual sum.
class TransformerLayer : public nn::BlockModule<TransformerLayer> {
 public:
  TransformerLayer(const ArchSpec& spec, size_t index, const nn::RngPtr& rng);
  /// x [B, T, hidden] -> [B, T, hidden]. `starts` [B, T] and `ends` [B] are int32: where the document of each
  /// position begins, and where each row's padding begins.
  at::Tensor compute(const at::Tensor& x, const std::optional<ops::RotaryTable>& rotary, nn::KvCache* cache,
                     const std::optional<at::Tensor>& starts = std::nullopt,
                     const std::optional<at::Tensor>& ends = std::nullopt);

 private:
  bool parallel_residual_, post_norm_;
  nn::DropoutSite attention_dropout_, mlp_dropout_;
  std::shared_ptr<nn::Norm> norm1_, norm2_;
  std::shared_ptr<nn::Attention> attention_;
  std::shared_ptr<nn::Mlp> mlp_;
};

}  // namespace deepspeed::models
