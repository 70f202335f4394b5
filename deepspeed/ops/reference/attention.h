// Obvious and slow: what ops/attention.h, ops/dropout.h and ops/rotary.h are tested against.
#pragma once

#include "deepspeed/ops/attention.h"
#include "deepspeed/ops/rotary.h"

namespace deepspeed::ops::reference {

/// The T x T product, out of differentiable ATen calls, in q's dtype.
at::Tensor attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                     const AttentionOptions& options);

/// x times the mask of accel::uniform(key, i) >= p, element by element.
at::Tensor dropout(const at::Tensor& x, double p, accel::RngKey key);

/// Positions times angles, written with ATen as Hugging Face writes it.
at::Tensor rotary(const at::Tensor& x, int64_t position_offset, const RotaryOptions& options);

}  // namespace deepspeed::ops::reference
