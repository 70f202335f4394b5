// Obvious and slow: what gelu, swiglu and geglu are tested against.
#pragma once

#include <ATen/core/Tensor.h>

#include "deepspeed/ops/gelu.h"

namespace deepspeed::ops::reference {

/// As the ops of these names, composed of ATen ops in fp64, differentiable by autograd; the result is
/// fp64.
at::Tensor gelu(const at::Tensor& x, GeluKind kind);
at::Tensor swiglu(const at::Tensor& gate, const at::Tensor& up);
at::Tensor geglu(const at::Tensor& gate, const at::Tensor& up);

}  // namespace deepspeed::ops::reference
