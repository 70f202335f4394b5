// The Adagrad update in one pass over memory: read p, g, sum once, write p, sum once (20 B an fp32
// parameter).
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "deepspeed/ops/update.h"

namespace deepspeed::ops {

/// Hyperparameters of one step. The kernel takes them as fp32 numbers.
struct AdagradArgs {
  double lr = 1e-2, lr_decay = 0, eps = 1e-10, weight_decay = 0;
  int64_t step = 1;  // 1 for the first update; only lr_decay reads it
  double grad_scale =
      1;  // the gradient is multiplied by this first, so that unscaling and clipping cost no pass
  UpdateOrder order = UpdateOrder::kFused;
};

/// Duchi, Hazan & Singer 2011, diagonal form:
///   g = grad_scale*g + weight_decay*p;  sum += g*g;  clr = lr / (1 + (step-1)*lr_decay)
/// order kFused (torch.optim.Adagrad, bit for bit but for its square root, which MKL does not always round
/// correctly):
///   p += (-clr*g) / (sqrt(sum) + eps)
/// order kCpu (csrc/adagrad/cpu_adagrad.cpp, bit for bit):
///   p += (-clr) * (g / (sqrt(sum) + eps))
/// in fp32. NaN and infinity propagate. An element's result depends on neither its position nor the number of
/// threads. Gradients are left as they are, where DeepSpeed's kernel writes the update over some of them.
/// Tensors, and the base::Error of one that does not fit: UpdateTensors.
void adagrad_step(const at::Tensor& param, const at::Tensor& grad, const at::Tensor& sum,
                  const AdagradArgs& args, const at::Tensor& low_precision_copy = {});

}  // namespace deepspeed::ops
