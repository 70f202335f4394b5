#include "deepspeed/ops/reference/adam.h"

#include <ATen/ops/pow.h>
#include <ATen/ops/sqrt.h>

#include <cmath>

namespace deepspeed::ops::reference {

void adam_step(const at::Tensor& param, const at::Tensor& grad, const at::Tensor& exp_avg,
               const at::Tensor& exp_avg_sq, const AdamArgs& a, const at::Tensor& low_precision_copy) {
  const double bc1 = a.bias_correction ? 1 - std::pow(a.beta1, static_cast<double>(a.step)) : 1;
  const double bc2 = a.bias_correction ? 1 - std::pow(a.beta2, static_cast<double>(a.step)) : 1;
  at::Tensor p = param.to(at::kDouble);
  at::Tensor g = grad.to(at::kDouble) * a.grad_scale;
  if (!a.adamw) g = g + a.weight_decay * p;
  const at::Tensor m = a.beta1 * exp_avg.to(at::kDouble) + (1 - a.beta1) * g;
  const at::Tensor v = a.beta2 * exp_avg_sq.to(at::kDouble) + (1 - a.beta2) * g * g;
  const at::Tensor direction = m / bc1 / (at::sqrt(v / bc2) + a.eps);
  p = p - a.lr * (a.adamw ? direction + a.weight_decay * p : direction);
  exp_avg.copy_(m);
  exp_avg_sq.copy_(v);
  param.copy_(p);
  if (low_precision_copy.defined()) low_precision_copy.copy_(param);
}

}  // namespace deepspeed::ops::reference
