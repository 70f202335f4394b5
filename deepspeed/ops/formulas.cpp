#include "deepspeed/ops/formulas.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/autograd.h>

#include <cmath>

namespace deepspeed::ops::formula {

std::vector<at::Tensor> gradients(const std::vector<at::Tensor>& inputs, const at::Tensor& dy,
                                  const std::function<at::Tensor(const std::vector<at::Tensor>&)>& formula) {
  const at::AutoGradMode with_gradients(true);
  std::vector<at::Tensor> leaves;
  for (const at::Tensor& input : inputs) leaves.push_back(input.detach().requires_grad_());
  return torch::autograd::grad({formula(leaves)}, leaves, {dy});
}

at::Tensor gelu(const at::Tensor& x, GeluKind kind) {
  return at::gelu(x, kind == GeluKind::kTanh ? "tanh" : "none");
}

at::Tensor swiglu(const at::Tensor& gate, const at::Tensor& up) {
  return (at::silu(gate.to(at::kFloat)) * up.to(at::kFloat)).to(gate.scalar_type());
}

at::Tensor geglu(const at::Tensor& gate, const at::Tensor& up) {
  return (at::gelu(gate.to(at::kFloat), "tanh") * up.to(at::kFloat)).to(gate.scalar_type());
}

at::Tensor layer_norm(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias, double eps) {
  const bool alike =
      weight.scalar_type() == x.scalar_type() && (!bias.defined() || bias.scalar_type() == x.scalar_type());
  if (alike) return at::layer_norm(x, {x.size(-1)}, weight, bias, eps);
  const at::Tensor wide = bias.defined() ? bias.to(at::kFloat) : bias;
  return at::layer_norm(x.to(at::kFloat), {x.size(-1)}, weight.to(at::kFloat), wide, eps).to(x.scalar_type());
}

// In 16 bits rounded before the weight, as transformers does for weights that do not count from one.
at::Tensor rms_norm(const at::Tensor& x, const at::Tensor& weight, double eps, RmsWeight kind) {
  const at::Tensor wide = x.to(at::kFloat);
  const at::Tensor normal = wide * at::rsqrt((wide * wide).mean(-1, true) + eps);
  if (kind == RmsWeight::kFromOne) return (normal * (weight.to(at::kFloat) + 1)).to(x.scalar_type());
  return (normal.to(x.scalar_type()) * weight).to(x.scalar_type());
}

at::Tensor linear_cross_entropy(const at::Tensor& hidden, const at::Tensor& weight, const at::Tensor& labels,
                                int64_t ignore_index, const at::Tensor& bias, double softcap) {
  const bool bf16 = hidden.scalar_type() == at::kBFloat16 && weight.scalar_type() == at::kBFloat16;
  const auto factor = [&](const at::Tensor& t) { return bf16 ? t : t.to(at::kFloat); };
  const auto added =
      bias.defined() ? std::optional(factor(bias).to(factor(weight).scalar_type())) : std::nullopt;
  at::Tensor logits = at::linear(factor(hidden), factor(weight), added).to(at::kFloat);
  if (softcap > 0) logits = (logits / softcap).tanh() * softcap;
  return at::cross_entropy_loss(logits, labels, {}, at::Reduction::Mean, ignore_index);
}

double sum_squares(const at::Tensor& x) {
  const auto norm = at::linalg_vector_norm(x, 2, std::nullopt, false, at::kDouble).item<double>();
  return norm * norm;
}

void adagrad_step(const at::Tensor& param, const at::Tensor& grad, const at::Tensor& sum,
                  const AdagradArgs& a, const at::Tensor& low_precision_copy) {
  const double lr = a.lr / (1 + static_cast<double>(a.step - 1) * a.lr_decay);
  const at::Tensor p = param.to(at::kFloat);
  at::Tensor g = grad.to(at::kFloat) * a.grad_scale;
  if (a.weight_decay != 0) g = g.add(p, a.weight_decay);
  const at::Tensor squares = sum.to(at::kFloat).addcmul(g, g);
  sum.copy_(squares);
  param.copy_(p.addcdiv(g, squares.sqrt().add(a.eps), -lr));
  if (low_precision_copy.defined()) low_precision_copy.copy_(param);
}

void lion_step(const at::Tensor& param, const at::Tensor& grad, const at::Tensor& exp_avg, const LionArgs& a,
               const at::Tensor& low_precision_copy) {
  const at::Tensor p = param.to(at::kFloat), m = exp_avg.to(at::kFloat),
                   g = grad.to(at::kFloat) * a.grad_scale;
  const at::Tensor c = m * a.beta1 + g * (1 - a.beta1);
  const at::Tensor down = a.order == UpdateOrder::kFused ? c > 0 : c.signbit().logical_not();
  exp_avg.copy_(m * a.beta2 + g * (1 - a.beta2));
  param.copy_(p * (1 - a.lr * a.weight_decay) + at::where(down, -a.lr, a.lr));
  if (low_precision_copy.defined()) low_precision_copy.copy_(param);
}

}  // namespace deepspeed::ops::formula
