// What layer_norm and rms_norm share: rows in parallel, gradients of weight and bias summed in a fixed order.
#pragma once

#include <ATen/core/Tensor.h>

#include "deepspeed/base/cpu_features.h"
#include "deepspeed/ops/cpu/norm_kernel.h"

namespace deepspeed::ops {

const cpu::NormKernels& norm_kernels(base::Isa isa);

using NormForwardKernel = void (*)(const cpu::NormForward&, int64_t begin, int64_t end);
using NormBackwardKernel = void (*)(const cpu::NormBackward&, int64_t begin, int64_t end);

struct NormInputs {
  at::Tensor x;       // [.., C] contiguous
  at::Tensor weight;  // [C] fp32 contiguous
  at::Tensor bias;    // [C] fp32 contiguous, or undefined
  double eps;
};

/// Checks the arguments of `op` and brings them into the form that the kernels take; `weight_from` is added
/// to the weight.
NormInputs norm_inputs(const char* op, const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                       double eps, float weight_from = 0);

/// y, like x. `mean` and `rstd` (undefined: not kept) are fp32 with one element a row.
at::Tensor norm_forward(NormForwardKernel kernel, const NormInputs& in, const at::Tensor& mean,
                        const at::Tensor& rstd);

/// `mean` is undefined for the RMS norm; x and rstd are norm_forward's.
struct NormSaved {
  at::Tensor x, weight, mean, rstd;
};
struct NormGradients {
  at::Tensor x, weight, bias;  // weight and bias in fp32; each undefined where not wanted
};
struct NormWanted {
  bool x, weight, bias;
};

NormGradients norm_backward(NormBackwardKernel kernel, const NormSaved& saved, const at::Tensor& dy,
                            NormWanted wanted);

}  // namespace deepspeed::ops
