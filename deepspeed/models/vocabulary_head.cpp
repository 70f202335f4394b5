#include "deepspeed/models/vocabulary_head.h"

#include <ATen/ops/cross_entropy_loss.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/tanh.h>

#include "deepspeed/ops/linear_cross_entropy.h"

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

at::Tensor VocabularyHead::logits_of(const at::Tensor& hidden) const {
  at::Tensor logits = at::linear(together_.enter ? together_.enter(hidden) : hidden, weight_, bias_);
  if (softcap_ > 0) logits = at::tanh(logits / softcap_) * softcap_;
  return together_.join ? together_.join(logits) : logits;
}

at::Tensor VocabularyHead::compute(const at::Tensor& hidden, const std::optional<at::Tensor>& labels) {
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
  std::vector<at::Tensor> parameters = {weight_};
  if (bias_) parameters.push_back(*bias_);
  return {{"Linear", std::move(parameters)}};
}

}  // namespace deepspeed::models
