#include "deepspeed/models/vocabulary_head.h"

#include <ATen/ops/linear.h>

#include "deepspeed/ops/linear_cross_entropy.h"

namespace deepspeed::models {

VocabularyHead::VocabularyHead(int64_t vocabulary, int64_t hidden, nn::Init init)
    : weight_(declare_parameter("weight", {vocabulary, hidden}, init)) {}

VocabularyHead::VocabularyHead(const at::Tensor& table, const at::Tensor& bias) : weight_(table) {
  use_parameter(table);
  if (!bias.defined()) return;
  use_parameter(bias);
  bias_ = bias;
}

VocabularyHead::VocabularyHead(int64_t vocabulary, int64_t hidden, nn::Init init, const at::Tensor& bias)
    : VocabularyHead(vocabulary, hidden, init) {
  use_parameter(bias);
  bias_ = bias;
}

at::Tensor VocabularyHead::compute(const at::Tensor& hidden, const std::optional<at::Tensor>& labels) {
  if (!labels) return at::linear(hidden, weight_, bias_);
  return ops::linear_cross_entropy(hidden.reshape({-1, hidden.size(-1)}), weight_, labels->reshape({-1}),
                                   kIgnoredLabel, bias_);
}

std::vector<nn::TorchLayer> VocabularyHead::torch_layers() const {
  std::vector<at::Tensor> parameters = {weight_};
  if (bias_) parameters.push_back(*bias_);
  return {{"Linear", std::move(parameters)}};
}

}  // namespace deepspeed::models
