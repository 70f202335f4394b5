// One layer of a transformer, of decoders and encoders alike: attention and MLP, each with its norm and
// residual.
#pragma once

#include <memory>
#include <optional>
#include <utility>

#include "deepspeed/models/arch_spec.h"
#include "deepspeed/nn/attention.h"
#include "deepspeed/nn/dropout.h"
#include "deepspeed/nn/moe.h"
#include "deepspeed/nn/relative_bias.h"

namespace deepspeed::models {

/// The table of token embeddings, as the spec has it.
std::shared_ptr<nn::Embedding> token_table(const ArchSpec& spec);
/// The relative positions that a stack's layers share.
std::shared_ptr<nn::RelativeBias> relative_bias(const ArchSpec& spec);

/// What a layer gives: x, and its router's logits [B * T, experts] where the loss wants them
/// (spec.experts.balance), else an undefined tensor.
using LayerOutput = std::pair<at::Tensor, at::Tensor>;

/// Norms stand before attention and MLP (which may read the same input, spec.parallel_residual), also behind
/// each of them (spec.branch_norms), or, with spec.post_norm, after each residual sum. The MLP may be a
/// mixture of experts. Attention to another sequence may come between the two (spec.cross_attention).
class TransformerLayer : public nn::BlockModule<TransformerLayer> {
 public:
  TransformerLayer(const ArchSpec& spec, size_t index, const nn::RngPtr& rng);
  /// x [B, T, hidden] -> [B, T, hidden]. `across`: what cross-attention is given (spec.cross_attention).
  LayerOutput compute(const at::Tensor& x, const nn::AttentionInputs& inputs = {},
                      const nn::AttentionInputs& across = {});

 private:
  at::Tensor attend(const at::Tensor& x, const at::Tensor& seen, const nn::AttentionInputs& inputs,
                    const nn::AttentionInputs& across);
  at::Tensor attend_itself(const at::Tensor& x, const at::Tensor& seen, const nn::AttentionInputs& inputs);
  LayerOutput feed(const at::Tensor& x, const at::Tensor& residual);

  bool parallel_residual_, post_norm_, balanced_;
  nn::DropoutSite attention_dropout_, cross_dropout_, mlp_dropout_;
  std::shared_ptr<nn::Norm> norm1_, norm2_;  // norm2_ is null where MLP and attention share norm1_
  std::shared_ptr<nn::Norm> attention_norm_, mlp_norm_;  // null without spec.branch_norms
  std::shared_ptr<nn::Attention> attention_;
  std::shared_ptr<nn::Norm> cross_norm_;  // this and the next are null without spec.cross_attention
  std::shared_ptr<nn::Attention> cross_attention_;
  std::shared_ptr<nn::Mlp> mlp_;  // one of these two
  std::shared_ptr<nn::Moe> moe_;
};

}  // namespace deepspeed::models
