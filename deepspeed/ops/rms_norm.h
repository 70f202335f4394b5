// Root-mean-square normalisation over the last dimension, as LLaMA has it.
// Source: Zhang, Sennrich, "Root Mean Square Layer Normalization" (2019).
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace deepspeed::ops {

/// What a normalised element is multiplied by: kPlain, as LLaMA has it, by the weight, after it was rounded
/// to x's type; kFromOne, as Gemma has it, by 1 + weight, in fp32, and rounded once.
enum class RmsWeight : uint8_t { kPlain, kFromOne };

/// y = x / sqrt(mean(x^2) + eps) * weight, the mean over the last dimension, computed in fp32, with the
/// weight as `kind` says. x [.., C] is
/// fp32, bf16 or fp16, of any strides; y is contiguous; weight [C] may be of any of these types. On CPUs and
/// GPUs. Differentiable in x and weight (once: a second derivative is an Error). Keeps x and one float a row
/// for backward, and nothing when no gradient is wanted; the gradient of weight is summed in fp32 in an order
/// that does not depend on the number of threads. Errors: base::Error on a wrong shape, type or device.
at::Tensor rms_norm(const at::Tensor& x, const at::Tensor& weight, double eps,
                    RmsWeight kind = RmsWeight::kPlain);

}  // namespace deepspeed::ops
