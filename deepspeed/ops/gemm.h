// Matrix products by our own kernels, for processors on which those of libtorch's libraries are slower.
#pragma once

#include <ATen/core/Tensor.h>

#include "deepspeed/ops/cpu/gemm_kernel.h"

namespace deepspeed::ops {

/// The kernel for factors of `type` with fp32 results, or null where ATen's product is to be preferred: on
/// this processor (base::CpuFeatures::slow_mkl), or with types other than fp32 and bf16.
const cpu::GemmKernel* gemm_kernel(at::ScalarType type);

/// Whether a product of these sizes is worth the packing of its factors.
bool worth_packing(int64_t m, int64_t n);

/// A factor as the kernel reads it, `t` [rows, depth] for a, or [columns, depth] (the transpose) for b. An
/// Error unless one of the strides is 1.
cpu::GemmFactor gemm_factor(const at::Tensor& t);

/// out = a @ b, plus `add` where defined: out itself or [N], fp32, contiguous. out [M, N] is fp32 with unit
/// stride along N, a [M, K] and b [K, N] are of the kernel's type with unit stride in either dimension. No
/// gradients. On the compute threads.
void gemm(const cpu::GemmKernel& kernel, const at::Tensor& out, const at::Tensor& a, const at::Tensor& b,
          const at::Tensor& add = {});

/// The same with the factors as the kernel takes them.
void gemm(const cpu::GemmKernel& kernel, const cpu::Gemm& product);

}  // namespace deepspeed::ops
