#include "deepspeed/models/vocabulary_head.h"

#include <ATen/ops/cross_entropy_loss.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/tanh.h>

#include "deepspeed/base/error.h"
#include "deepspeed/ops/linear_cross_entropy.h"
#include "deepspeed/ops/packed_linear.h"

namespace deepspeed::models {

VocabularyHead::VocabularyHead(const VocabularyHeadOptions& o) : softcap_(o.softcap), weight_(o.table) {
  if (weight_.defined())
    use_parameter(weight_);
  else
    weight_ = declare_parameter("weight", {o.vocabulary, o.hidden}, o.init);
  if (o.own_bias) {
    bias_ = declare_parameter("bias", {o.vocabulary}, nn::Init::zeros());
  } else if (o.bias.defined()) {
    use_parameter(o.bias);
    bias_ = o.bias;
  }
}

void VocabularyHead::pack(ops::PackedWeight packed) {
  DS_CHECK(!packed_, "the vocabulary head is packed already");
  DS_CHECK(!together_.join, "the vocabulary head cannot be packed: several ranks share it");
  packed_ = std::move(packed);
  for (const auto& parameter : named_parameters(/*recurse=*/false).keys()) {
    forget_parameter(parameter);
    parameters_.erase(parameter);
  }
  forget_used_parameters();
  weight_ = at::Tensor();
  bias_.reset();
}

at::Tensor VocabularyHead::multiply(const at::Tensor& hidden) const {
  if (product_) return product_(hidden);
  if (packed_) return ops::packed_linear(hidden, *packed_);
  return at::linear(together_.enter ? together_.enter(hidden) : hidden, weight_, bias_);
}

at::Tensor VocabularyHead::logits_of(const at::Tensor& hidden) const {
  at::Tensor logits = multiply(hidden);
  if (softcap_ > 0) logits = at::tanh(logits / softcap_) * softcap_;
  return together_.join ? together_.join(logits) : logits;
}

at::Tensor VocabularyHead::compute(const at::Tensor& hidden, const std::optional<at::Tensor>& labels) {
  DS_CHECK(!labels || (!packed_ && !product_),
           "a vocabulary head that is packed or streamed computes no loss");
  if (labels && together_.join) {
    const at::Tensor logits = logits_of(hidden);
    return at::cross_entropy_loss(logits.reshape({-1, logits.size(-1)}).to(at::kFloat), labels->reshape({-1}),
                                  {}, at::Reduction::Mean, kIgnoredLabel);
  }
  if (labels)
    return ops::linear_cross_entropy(hidden.reshape({-1, hidden.size(-1)}), weight_, labels->reshape({-1}),
                                     kIgnoredLabel, bias_, softcap_);
  return logits_of(hidden);
}

std::vector<nn::TorchLayer> VocabularyHead::torch_layers() const {
  if (packed_) return {{"Linear", {}}};
  std::vector<at::Tensor> parameters = {weight_};
  if (bias_) parameters.push_back(*bias_);
  return {{"Linear", std::move(parameters)}};
}

}  // namespace deepspeed::models
