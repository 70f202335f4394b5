// The gated units of feed-forward layers: LLaMA's and Gemma's. Source: Shazeer, "GLU Variants Improve
// Transformer" (2020).
#pragma once

#include <ATen/core/Tensor.h>

namespace deepspeed::ops {

/// silu(gate) * up = gate / (1 + exp(-gate)) * up, element by element, in fp32 inside. gate and up have one
/// shape and one type (fp32, bf16 or fp16), any strides; the result is contiguous. On CPUs and GPUs.
/// Differentiable once in both, keeping only gate and up, and nothing when no gradient is wanted. Errors:
/// base::Error when shapes or types differ, or on a wrong type or device.
at::Tensor swiglu(const at::Tensor& gate, const at::Tensor& up);

/// gelu(gate) * up with GELU's tanh form (ops/gelu.h), otherwise as swiglu.
at::Tensor geglu(const at::Tensor& gate, const at::Tensor& up);

}  // namespace deepspeed::ops
