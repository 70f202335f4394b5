// The Adam and AdamW update in one pass over memory: read p, g, m, v once, write p, m, v once (28 B an fp32
// parameter).
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace deepspeed::ops {

/// Hyperparameters of one step. Constants derived from them are computed in fp64 and rounded once to fp32.
struct AdamArgs {
  double lr = 1e-3, beta1 = 0.9, beta2 = 0.999, eps = 1e-8, weight_decay = 0;
  int64_t step = 1;             // 1 for the first update; only bias correction reads it
  bool adamw = true;            // decoupled decay; otherwise weight_decay * p is added to the gradient
  bool bias_correction = true;  // off: m and v are used as they are
  double grad_scale =
      1;  // the gradient is multiplied by this first, so that unscaling and clipping cost no pass
};

/// Kingma & Ba 2014, algorithm 1, decay as in Loshchilov & Hutter 2017; the arithmetic of DeepSpeed's
/// FusedAdam (csrc/adam/multi_tensor_adam.cu):
///   g *= grad_scale;  L2 mode: g += weight_decay * p
///   m = beta1*m + (1-beta1)*g;  v = beta2*v + (1-beta2)*g*g
///   p -= lr * (m/bc1 / (sqrt(v/bc2) + eps) + weight_decay*p [AdamW])      bc_i = 1 - beta_i^step
/// in fp32, within a few units in the last place of ops/reference/adam.cpp. NaN and infinity propagate. An
/// element's result depends on neither its position nor the number of threads.
///
/// All tensors are contiguous CPU tensors of the same number of elements: `param`, `exp_avg`, `exp_avg_sq`
/// fp32, `grad` fp32, bf16 or fp16, `low_precision_copy` undefined, bf16 or fp16 (the new parameter, rounded
/// to nearest even). They must not overlap. base::Error names what does not fit.
void adam_step(const at::Tensor& param, const at::Tensor& grad, const at::Tensor& exp_avg,
               const at::Tensor& exp_avg_sq, const AdamArgs& args, const at::Tensor& low_precision_copy = {});

}  // namespace deepspeed::ops
