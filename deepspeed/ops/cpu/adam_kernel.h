// The Adam update on raw pointers, once per instruction set. Torch-free.
#pragma once

#include <cstdint>

#include "deepspeed/base/cpu_features.h"

namespace deepspeed::ops::cpu {

/// Storage formats of the gradient and of the low-precision copy (kNone: there is no copy).
enum class AdamFormat { kNone, kFp32, kBf16, kFp16 };

struct AdamBuffers {
  float* param;
  const void* grad;
  float* exp_avg;
  float* exp_avg_sq;
  void* low_precision_copy;
  AdamFormat grad_format, copy_format;
};

/// AdamArgs folded into what the inner loop multiplies by.
struct AdamConstants {
  float grad_scale;
  float l2;  // weight decay added to the gradient; 0 for AdamW
  float beta1, one_minus_beta1;
  float beta2, one_minus_beta2;
  float inverse_sqrt_bc2;  // 1/sqrt(1 - beta2^step)
  float eps;
  float keep;       // 1 - lr * weight decay; 1 in L2 mode
  float step_size;  // lr / (1 - beta1^step)
};

/// Updates elements [begin, end).
using AdamKernel = void (*)(const AdamBuffers& buffers, int64_t begin, int64_t end,
                            const AdamConstants& constants);

void adam_scalar(const AdamBuffers& buffers, int64_t begin, int64_t end, const AdamConstants& constants);
void adam_avx2(const AdamBuffers& buffers, int64_t begin, int64_t end, const AdamConstants& constants);
void adam_avx512(const AdamBuffers& buffers, int64_t begin, int64_t end, const AdamConstants& constants);

/// The kernel of an instruction set, or of the best one below it that there is one for.
AdamKernel adam_kernel(base::Isa isa);

}  // namespace deepspeed::ops::cpu
