// Sum of squares of one block on raw pointers, once per instruction set. Torch-free.
#pragma once

#include <cstdint>

#include "deepspeed/base/cpu_features.h"

namespace deepspeed::ops::cpu {

/// Element i is added to lane i % kSumLanes, and the lanes are added in order: every instruction set rounds
/// alike.
inline constexpr int64_t kSumLanes = 32;

enum class SumFormat { kFp32, kBf16, kFp16 };

using SumSquaresKernel = double (*)(const void* x, int64_t n, SumFormat format);

double sum_squares_scalar(const void* x, int64_t n, SumFormat format);
double sum_squares_avx2(const void* x, int64_t n, SumFormat format);
double sum_squares_avx512(const void* x, int64_t n, SumFormat format);

/// The kernel of an instruction set, or of the best one below it that there is one for.
SumSquaresKernel sum_squares_kernel(base::Isa isa);

}  // namespace deepspeed::ops::cpu
