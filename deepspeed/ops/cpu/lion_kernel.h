// The Lion update on raw pointers, once per instruction set. Torch-free.
#pragma once

#include "deepspeed/base/cpu_features.h"
#include "deepspeed/ops/cpu/update_kernel.h"

namespace deepspeed::ops::cpu {

struct LionConstants {
  bool fused;  // the sign of FusedLion's CUDA kernel rather than of DeepSpeedCPULion
  float grad_scale;
  float beta1, one_minus_beta1;
  float beta2, one_minus_beta2;
  float keep;  // 1 - lr * weight decay
  float lr;
};

/// states: the moment.
using LionKernel = UpdateKernel<LionConstants>;
void lion_scalar(const UpdateBuffers& buffers, int64_t begin, int64_t end, const LionConstants& constants);
void lion_avx2(const UpdateBuffers& buffers, int64_t begin, int64_t end, const LionConstants& constants);
void lion_avx512(const UpdateBuffers& buffers, int64_t begin, int64_t end, const LionConstants& constants);

/// The kernel of an instruction set, or of the best one below it that there is one for.
LionKernel lion_kernel(base::Isa isa);

}  // namespace deepspeed::ops::cpu
