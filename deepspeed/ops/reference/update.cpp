#include "deepspeed/ops/reference/update.h"

#include <ATen/ATen.h>

#include <cmath>

namespace deepspeed::ops::reference {
namespace {

// What an fp32 kernel is given.
double fp32(double x) { return static_cast<float>(x); }

void write(const at::Tensor& param, const at::Tensor& value, const at::Tensor& low_precision_copy) {
  param.copy_(value);
  if (low_precision_copy.defined()) low_precision_copy.copy_(param);
}

}  // namespace

void adam_step(const at::Tensor& param, const at::Tensor& grad, const at::Tensor& exp_avg,
               const at::Tensor& exp_avg_sq, const AdamArgs& a, const at::Tensor& low_precision_copy) {
  const double beta1 = fp32(a.beta1), beta2 = fp32(a.beta2), steps = static_cast<double>(a.step);
  const double bc1 = a.bias_correction ? 1 - std::pow(beta1, steps) : 1;
  const double bc2 = a.bias_correction ? 1 - std::pow(beta2, steps) : 1;
  at::Tensor p = param.to(at::kDouble);
  at::Tensor g = grad.to(at::kDouble) * a.grad_scale;
  if (!a.adamw) g = g + a.weight_decay * p;
  const at::Tensor m = beta1 * exp_avg.to(at::kDouble) + (1 - beta1) * g;
  const at::Tensor v = beta2 * exp_avg_sq.to(at::kDouble) + (1 - beta2) * g * g;
  const at::Tensor direction = m / bc1 / (at::sqrt(v / bc2) + a.eps);
  p = p - a.lr * (a.adamw ? direction + a.weight_decay * p : direction);
  exp_avg.copy_(m);
  exp_avg_sq.copy_(v);
  write(param, p, low_precision_copy);
}

void adagrad_step(const at::Tensor& param, const at::Tensor& grad, const at::Tensor& sum,
                  const AdagradArgs& a, const at::Tensor& low_precision_copy) {
  const double lr = a.lr / (1 + static_cast<double>(a.step - 1) * a.lr_decay);
  const at::Tensor p = param.to(at::kDouble);
  const at::Tensor g = grad.to(at::kDouble) * a.grad_scale + a.weight_decay * p;
  const at::Tensor squares = sum.to(at::kDouble) + g * g;
  sum.copy_(squares);
  write(param, p - lr * g / (squares.sqrt() + a.eps), low_precision_copy);
}

void lion_step(const at::Tensor& param, const at::Tensor& grad, const at::Tensor& exp_avg, const LionArgs& a,
               const at::Tensor& low_precision_copy) {
  const double beta1 = fp32(a.beta1), beta2 = fp32(a.beta2);
  const at::Tensor p = param.to(at::kDouble), m = exp_avg.to(at::kDouble);
  const at::Tensor g = grad.to(at::kDouble) * fp32(a.grad_scale);
  const at::Tensor c = beta1 * m + (1 - beta1) * g;
  const at::Tensor down = a.order == UpdateOrder::kFused ? c > 0 : c.signbit().logical_not();
  exp_avg.copy_(beta2 * m + (1 - beta2) * g);
  write(param, p * (1 - a.lr * a.weight_decay) + at::where(down, -a.lr, a.lr), low_precision_copy);
}

}  // namespace deepspeed::ops::reference
