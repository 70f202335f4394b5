#include "deepspeed/ops/reference/linear_cross_entropy.h"

#include <ATen/ATen.h>

namespace deepspeed::ops::reference {

at::Tensor linear_cross_entropy(const at::Tensor& hidden, const at::Tensor& weight, const at::Tensor& labels,
                                int64_t ignore_index, const std::optional<at::Tensor>& bias, double softcap) {
  at::Tensor logits = at::matmul(hidden.to(at::kDouble), weight.to(at::kDouble).t());
  if (bias) logits = logits + bias->to(at::kDouble);
  if (hidden.scalar_type() == at::kBFloat16 && weight.scalar_type() == at::kBFloat16)
    logits = logits.to(at::kBFloat16).to(at::kDouble);  // rounds the gradients of the logits as well
  if (softcap > 0) logits = at::tanh(logits / softcap) * softcap;
  return at::nll_loss(at::log_softmax(logits, 1), labels, {}, at::Reduction::Mean, ignore_index);
}

}  // namespace deepspeed::ops::reference
