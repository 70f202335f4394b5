// Layer normalisation over the last dimension. Source: Ba, Kiros, Hinton, "Layer Normalization" (2016).
#pragma once

#include <ATen/core/Tensor.h>

namespace deepspeed::ops {

/// y = (x - mean) / sqrt(var + eps) * weight + bias, mean and (biased) variance over the last dimension,
/// computed in fp32. x [.., C] is fp32, bf16 or fp16, of any strides; y is contiguous with x's shape and
/// type. weight [C] and bias [C] (or undefined: none) may be of any of these types. On CPUs and GPUs.
/// Differentiable in x, weight and bias (once: a second derivative is an Error). Keeps x and two floats a row
/// for backward, and nothing when no gradient is wanted; gradients of weight and bias are summed in fp32, in
/// an order that does not depend on the number of threads, and computed only when wanted. Errors: base::Error
/// on a wrong shape, type or device.
at::Tensor layer_norm(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias, double eps);

}  // namespace deepspeed::ops
