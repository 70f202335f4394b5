// The output projection and the cross-entropy loss in one op, so that the logits of a batch never exist at
// once.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>

namespace deepspeed::ops {

/// The mean, over the labels that differ from `ignore_index`, of -log softmax(hidden @ weight^T +
/// bias)[label]; with `softcap` c > 0 every logit x is c * tanh(x / c) first. hidden [N, C] and weight [V, C]
/// are fp32, bf16 or fp16, each its own, as is bias [V] (none where absent); labels [N] is int64. Returns a
/// scalar fp32 loss; NaN when every label is ignored, as PyTorch has it. The softmax is fp32 whatever the
/// inputs; two bf16 inputs are multiplied with fp32 sums to logits that are rounded to bf16, as are their
/// gradients; anything else stays fp32. On CPUs and GPUs (there all logits exist at once). Memory: on a CPU
/// logits exist for a tile of rows at a time, at most 128 MB of them (one row at least). Differentiable
/// (once) in hidden, weight and bias. The gradients are formed while the logits are there, in forward, and
/// kept until backward, which scales them by the incoming gradient: [N, C] and [V, C], each only when wanted.
/// 16-bit gradients are rounded as if the incoming gradient (see LossFactor) had been applied before they
/// were formed. Errors: base::Error on a wrong shape, type or device, and on a label outside [0, V) that is
/// not `ignore_index`, naming label and position. Under autocast (accel/autocast.h) hidden, weight and bias
/// are cast first, as by a linear layer.
at::Tensor linear_cross_entropy(const at::Tensor& hidden, const at::Tensor& weight, const at::Tensor& labels,
                                int64_t ignore_index = -100,
                                const std::optional<at::Tensor>& bias = std::nullopt, double softcap = 0);

/// While it lives, losses of this thread that form their gradients in forward expect to be multiplied by
/// `factor` before their backward: the loss scale over the accumulation steps. It only decides what is
/// rounded to 16 bits: a loss multiplied by anything else has the right gradients too.
class LossFactor {
 public:
  explicit LossFactor(double factor);
  ~LossFactor();
  LossFactor(const LossFactor&) = delete;
  LossFactor& operator=(const LossFactor&) = delete;
  /// 1 where no LossFactor lives.
  static double current();

 private:
  double outer_;
};

}  // namespace deepspeed::ops
