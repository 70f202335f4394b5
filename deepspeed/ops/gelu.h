// The Gaussian error linear unit. Source: Hendrycks, Gimpel, "Gaussian Error Linear Units" (2016).
#pragma once

#include <ATen/core/Tensor.h>

namespace deepspeed::ops {

/// kTanh: x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))), Hugging Face's "gelu_new" and "gelu_pytorch_tanh".
/// kErf: x/2 (1 + erf(x / sqrt 2)), Hugging Face's "gelu".
enum class GeluKind { kTanh, kErf };

/// Element by element, in fp32 inside, without cancellation: in the negative tail too the relative error
/// stays below 3e-6 (kErf) and 2e-5 (kTanh). x is fp32, bf16 or fp16, of any shape and strides; the result is
/// contiguous, of x's type. On CPUs and GPUs. NaN gives NaN, as does -infinity (0 * infinity).
/// Differentiable once, keeping only x, and nothing when no gradient is wanted.
/// Errors: base::Error on a wrong type or device.
at::Tensor gelu(const at::Tensor& x, GeluKind kind);

}  // namespace deepspeed::ops
