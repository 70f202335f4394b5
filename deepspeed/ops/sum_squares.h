// The sum of squares that gradient norms are made of, in fp64.
#pragma once

#include <ATen/core/Tensor.h>

namespace deepspeed::ops {

/// Sum of x[i]^2 in fp64 over a contiguous CPU tensor of fp32, bf16 or fp16. Squares of fp32 are exact in
/// fp64 and the order of summation is fixed (blocks of 16384 elements, 32 lanes in a block), so the result
/// depends on neither the number of threads nor the instruction set. It cannot overflow: it is finite exactly
/// when every element is.
double sum_squares(const at::Tensor& x);

}  // namespace deepspeed::ops
