// Dropout whose mask is a pure function of a key: exact under threads, recomputation and resume.
#pragma once

#include <ATen/core/Tensor.h>

#include "deepspeed/accel/rng.h"

namespace deepspeed::ops {

/// Inverted dropout: element i of x in row-major order is kept where accel::uniform(key, i) >= p and then
/// divided by 1 - p. Any shape and strides; float32, bfloat16, float16. p = 0 returns x itself, p = 1 zeros.
/// Differentiable (any number of times); keeps only the key, the mask is computed again in backward.
/// base::Error when p is outside [0, 1].
at::Tensor dropout(const at::Tensor& x, double p, accel::RngKey key);

/// residual + dropout(x, p, key) in one pass over memory. Both of one shape and dtype, or x in 16 bits and an
/// fp32 residual, which gives fp32 (autocast).
at::Tensor dropout_add(const at::Tensor& residual, const at::Tensor& x, double p, accel::RngKey key);

}  // namespace deepspeed::ops
