// Obvious and slow: what layer_norm and rms_norm are tested against.
#pragma once

#include <ATen/core/Tensor.h>

#include "deepspeed/ops/rms_norm.h"

namespace deepspeed::ops::reference {

/// As ops::layer_norm and ops::rms_norm, composed of ATen ops in fp64, differentiable by autograd; the result
/// is fp64. The RMS norm of 16 bits rounds where transformers does, in backward too.
at::Tensor layer_norm(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias, double eps);
at::Tensor rms_norm(const at::Tensor& x, const at::Tensor& weight, double eps,
                    RmsWeight kind = RmsWeight::kPlain);

}  // namespace deepspeed::ops::reference
