// Obvious and slow: what linear_cross_entropy is tested against.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>

namespace deepspeed::ops::reference {

/// As ops::linear_cross_entropy, with all logits at once, composed of ATen ops in fp64, differentiable by
/// autograd; the result is fp64. Of bf16 inputs the logits and their gradients are rounded to bf16, as
/// transformers rounds them.
at::Tensor linear_cross_entropy(const at::Tensor& hidden, const at::Tensor& weight, const at::Tensor& labels,
                                int64_t ignore_index, const std::optional<at::Tensor>& bias = std::nullopt,
                                double softcap = 0);

}  // namespace deepspeed::ops::reference
