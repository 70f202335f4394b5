// The fused ops as formulas of ATen's, with ATen's gradients: what computes them on devices for which there
// is no kernel of ours. Contracts are those of the ops' own headers; arguments have been checked there, but
// for what would make the host wait for the device (ids and labels outside their range).
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "deepspeed/ops/adagrad.h"
#include "deepspeed/ops/attention.h"
#include "deepspeed/ops/gelu.h"
#include "deepspeed/ops/lion.h"
#include "deepspeed/ops/rms_norm.h"

namespace deepspeed::ops::formula {

/// Gradients of formula(inputs) for dy, of dy's type, one an input: the backward of kernels that have none.
std::vector<at::Tensor> gradients(const std::vector<at::Tensor>& inputs, const at::Tensor& dy,
                                  const std::function<at::Tensor(const std::vector<at::Tensor>&)>& formula);

at::Tensor gelu(const at::Tensor& x, GeluKind kind);
at::Tensor swiglu(const at::Tensor& gate, const at::Tensor& up);
at::Tensor geglu(const at::Tensor& gate, const at::Tensor& up);
at::Tensor layer_norm(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias, double eps);
at::Tensor rms_norm(const at::Tensor& x, const at::Tensor& weight, double eps, RmsWeight kind);
/// All logits of the batch exist at once, as in PyTorch.
at::Tensor linear_cross_entropy(const at::Tensor& hidden, const at::Tensor& weight, const at::Tensor& labels,
                                int64_t ignore_index, const at::Tensor& bias, double softcap);
/// ATen's scaled_dot_product_attention, whose kernels hold no T x T matrix where they know the case; with
/// dropout, whose mask is ours, and with a softcap one such matrix a head exists.
at::Tensor attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                     const AttentionOptions& options);
double sum_squares(const at::Tensor& x);
void adagrad_step(const at::Tensor& param, const at::Tensor& grad, const at::Tensor& sum,
                  const AdagradArgs& args, const at::Tensor& low_precision_copy);
void lion_step(const at::Tensor& param, const at::Tensor& grad, const at::Tensor& exp_avg,
               const LionArgs& args, const at::Tensor& low_precision_copy);

}  // namespace deepspeed::ops::formula
