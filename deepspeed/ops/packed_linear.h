// Linear layers by packed weights, for inference.
#pragma once

#include <ATen/core/Tensor.h>

#include "deepspeed/ops/packed_weight.h"

namespace deepspeed::ops {

using cpu::PackedActivation;

/// What follows the sums before they are rounded.
struct PackedEpilogue {
  PackedActivation activation = PackedActivation::kNone;
  at::Tensor residual{};  // of the result's shape and x's type, added last; undefined: none
};

/// x [..., in] -> [..., weight.width()], contiguous and of x's type, fp32 or bf16:
///   y = activation(x w^T + bias) + residual, or, of a gated weight, activation(gate) * up + residual.
/// Sums, bias and what follows are in fp32; the result is rounded once. x enters the products
///   fp32           as it is
///   bf16           rounded to bf16
///   int8 int4 fp6  in fixed point: for every group of the weight's (128 numbers where a scale stands for a
///                  whole row) X = round(32512 x / max|x|), so that |x - x^| <= max|x| / 65024; with many
///                  rows on AMX x and w^ are rounded to bf16 instead, 2^-8 of a product
///   w8a8           X = round(127 x / max|x|) over the weight's group or the whole row
/// Integer products are summed exactly within a group. Without AMX a row's result is to the bit the same
/// whatever other rows there are, and int8, w8a8, int4 and fp6 differ between instruction sets only by the
/// rounding of one fp32 sum a group.
/// A NaN or infinity of x reaches its own row alone: as IEEE arithmetic has it for fp32 and bf16 (whose
/// products by pairs take subnormal numbers as zeros), as NaN in
/// the whole row for the others. Without gradients: an Error where one is wanted. On the compute threads.
/// On a GPU x may be fp16, too, and lies on the weight's device. There up to 16 rows by quantized weights
/// enter the products as they are (of w8a8 rounded as above), with sums, bias and what follows in fp32; all
/// others are libtorch's product in x's type by w^ rounded to it (of symmetric w8a8 of whole rows one of
/// integers), and bias, activation, gate and residual each round to it. An infinity of x then gives what IEEE
/// arithmetic has.
at::Tensor packed_linear(const at::Tensor& x, const PackedWeight& weight,
                         const PackedEpilogue& epilogue = {});

}  // namespace deepspeed::ops
