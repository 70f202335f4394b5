#include "deepspeed/ops/reference/activation.h"

#include <ATen/ATen.h>

#include <cmath>

namespace deepspeed::ops::reference {

at::Tensor gelu(const at::Tensor& x, GeluKind kind) {
  const at::Tensor wide = x.to(at::kDouble);
  if (kind == GeluKind::kErf) return wide * at::erfc(wide * -std::sqrt(0.5)) * 0.5;
  const at::Tensor inner = (wide + wide * wide * wide * 0.044715) * std::sqrt(2 / M_PI);
  return wide * at::sigmoid(inner * 2);
}

at::Tensor swiglu(const at::Tensor& gate, const at::Tensor& up) {
  const at::Tensor wide = gate.to(at::kDouble);
  return wide * at::sigmoid(wide) * up.to(at::kDouble);
}

at::Tensor geglu(const at::Tensor& gate, const at::Tensor& up) {
  return reference::gelu(gate, GeluKind::kTanh) * up.to(at::kDouble);
}

}  // namespace deepspeed::ops::reference
