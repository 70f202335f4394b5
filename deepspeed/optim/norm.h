// Gradient norms and what clipping makes of them.
#pragma once

#include <ATen/core/Tensor.h>

namespace deepspeed::optim {

/// What a norm over many pieces, and then over ranks, is summed from.
struct NormResult {
  double sum_squares = 0;
  bool finite = true;
  NormResult& operator+=(const NormResult& other);
};

/// Sum of squares of a contiguous fp32, bf16 or fp16 gradient in fp64, with its non-finite check, in one
/// pass. The result does not depend on the number of threads. An undefined or empty tensor counts as zeros.
NormResult norm_squared(const at::Tensor& grad);

/// The factor that unscales and clips at once (DeepSpeed stage_1_and_2.py, unscale_and_clip_grads). `norm` is
/// the L2 norm of the gradients as they are, multiplied by `loss_scale`:
///   1 / (loss_scale * max(1, (norm/loss_scale + 1e-6) / max_norm))      max_norm = 0: 1 / loss_scale
double clip_factor(double norm, double max_norm, double loss_scale);

}  // namespace deepspeed::optim
