#include "deepspeed/ops/reference/norm.h"

#include <ATen/ATen.h>

namespace deepspeed::ops::reference {

at::Tensor layer_norm(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias, double eps) {
  const at::Tensor wide = x.to(at::kDouble), centred = wide - wide.mean(-1, true);
  const at::Tensor y = centred / at::sqrt((centred * centred).mean(-1, true) + eps) * weight.to(at::kDouble);
  return bias.defined() ? y + bias.to(at::kDouble) : y;
}

at::Tensor rms_norm(const at::Tensor& x, const at::Tensor& weight, double eps, RmsWeight kind) {
  const at::Tensor wide = x.to(at::kDouble);
  const at::Tensor normal = wide / at::sqrt((wide * wide).mean(-1, true) + eps);
  if (kind == RmsWeight::kFromOne) return normal * (weight.to(at::kDouble) + 1);
  const bool rounds = x.scalar_type() != at::kFloat;
  return (rounds ? normal.to(x.scalar_type()).to(at::kDouble) : normal) * weight.to(at::kDouble);
}

}  // namespace deepspeed::ops::reference
