// The Lion update in one pass over memory: read p, g, m once, write p, m once (20 B an fp32 parameter).
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "deepspeed/ops/update.h"

namespace deepspeed::ops {

/// Hyperparameters of one step. They are fp32 numbers, as in DeepSpeed's kernels.
struct LionArgs {
  double lr = 1e-3, beta1 = 0.9, beta2 = 0.999, weight_decay = 0;
  double grad_scale =
      1;  // the gradient is multiplied by this first, so that unscaling and clipping cost no pass
  UpdateOrder order = UpdateOrder::kFused;
};

/// Chen et al. 2023, "Symbolic Discovery of Optimization Algorithms", algorithm 2:
///   g *= grad_scale;  c = beta1*m + (1-beta1)*g
///   p = p*(1 - lr*weight_decay) - lr*sign(c);  m = beta2*m + (1-beta2)*g
/// in fp32. Every element moves by lr, also where c is no sign: with order kCpu (csrc/lion/cpu_lion_impl.cpp,
/// bit for bit) sign is the sign bit of c, so that +0 moves p down; with kFused
/// (csrc/lion/multi_tensor_lion.cu) 0 and NaN move it up. A NaN or infinite gradient stays in m. An element's
/// result depends on neither its position nor the number of threads. Gradients are left as they are. Tensors,
/// and the base::Error of one that does not fit: UpdateTensors.
void lion_step(const at::Tensor& param, const at::Tensor& grad, const at::Tensor& exp_avg,
               const LionArgs& args, const at::Tensor& low_precision_copy = {});

}  // namespace deepspeed::ops
