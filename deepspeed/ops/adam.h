// The Adam and AdamW update in one pass over memory: read p, g, m, v once, write p, m, v once (28 B an fp32
// parameter).
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "deepspeed/ops/update.h"

namespace deepspeed::ops {

/// Hyperparameters of one step. They are fp32 numbers, as in DeepSpeed's kernels.
struct AdamArgs {
  double lr = 1e-3, beta1 = 0.9, beta2 = 0.999, eps = 1e-8, weight_decay = 0;
  int64_t step = 1;             // 1 for the first update; only bias correction reads it, so it may jump
  bool adamw = true;            // decoupled decay; otherwise weight_decay * p is added to the gradient
  bool bias_correction = true;  // off: m and v are used as they are
  double grad_scale =
      1;  // the gradient is multiplied by this first, so that unscaling and clipping cost no pass
  UpdateOrder order = UpdateOrder::kFused;
};

/// Kingma & Ba 2014, algorithm 1, decay as in Loshchilov & Hutter 2017:
///   g *= grad_scale;  L2 mode: g += weight_decay * p
///   m = beta1*m + (1-beta1)*g;  v = beta2*v + (1-beta2)*g*g          bc_i = 1 - beta_i^step
/// order kFused (csrc/adam/multi_tensor_adam.cu; that kernel is built with approximate division, here 1/bc_i
/// is rounded once):
///   p -= lr * (m/bc1 / (sqrt(v/bc2) + eps) + weight_decay*p [AdamW])
/// order kCpu (csrc/adam/cpu_adam_impl.cpp, bit for bit; while steps follow one another DeepSpeed multiplies
/// beta_i^step up in fp32, after a jump it computes the power, as is done here):
///   p += (-lr*weight_decay) * p [AdamW];  p += (-lr/bc1) * (m / (sqrt(v) * (1/sqrt(bc2)) + eps))
/// in fp32, within a few units in the last place of ops/reference/adam.cpp. NaN and infinity propagate. An
/// element's result depends on neither its position nor the number of threads. Gradients are left as they
/// are. Tensors, and the base::Error of one that does not fit: UpdateTensors.
void adam_step(const at::Tensor& param, const at::Tensor& grad, const at::Tensor& exp_avg,
               const at::Tensor& exp_avg_sq, const AdamArgs& args, const at::Tensor& low_precision_copy = {});

}  // namespace deepspeed::ops
