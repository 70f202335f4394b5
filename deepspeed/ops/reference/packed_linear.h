// Obvious and slow: what packed_linear is tested against.
#pragma once

#include <ATen/core/Tensor.h>

#include "deepspeed/ops/packed_linear.h"

namespace deepspeed::ops::reference {

/// As packed_linear with x [rows, in], in fp64, of the packed numbers as they are and of x as it is: no
/// rounding of x, of products or of the result, which is fp64.
at::Tensor packed_linear(const at::Tensor& x, const PackedWeight& weight,
                         const PackedEpilogue& epilogue = {});

/// By how much the sums x w^T of packed_linear may differ from exact ones, [rows, out]: what rounding x costs
/// (and w^ to bf16, where `tiles`), and fp32 sums.
at::Tensor packed_sum_bound(const at::Tensor& x, const PackedWeight& weight, bool tiles);

}  // namespace deepspeed::ops::reference
