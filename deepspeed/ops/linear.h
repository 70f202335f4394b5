// Linear layers in the arithmetic that this processor is best at.
#pragma once

#include <ATen/core/Tensor.h>

#include <optional>

namespace deepspeed::ops {

/// How a weight lies in memory: torch.nn.Linear's [out, in], or GPT-2's Conv1D [in, out].
enum class WeightOrder { kOutIn, kInOut };

/// x [..., in] -> [..., out], plus bias [out] where given. Differentiable. Products of bf16 tensors are
/// summed in fp32 and rounded once, as PyTorch does it; where bf16 products are slower than fp32 ones
/// (base::CpuFeatures::fast_bf16) the factors are widened first, which changes no product. fp32 is
/// multiplied by our own kernel where that is faster (ops/gemm.h). Every other type is PyTorch's own addmm.
at::Tensor linear(const at::Tensor& x, const at::Tensor& weight, const std::optional<at::Tensor>& bias,
                  WeightOrder order);

/// What linear() does with bf16 tensors where their products are slow: all three are bf16, on the CPU.
at::Tensor linear_by_fp32_products(const at::Tensor& x, const at::Tensor& weight,
                                   const std::optional<at::Tensor>& bias, WeightOrder order);

}  // namespace deepspeed::ops
