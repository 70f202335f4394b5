// The Adam update on raw pointers, once per instruction set. Torch-free.
#pragma once

#include "deepspeed/base/cpu_features.h"
#include "deepspeed/ops/cpu/update_kernel.h"

namespace deepspeed::ops::cpu {

enum class AdamDecay { kNone, kL2, kDecoupled };

/// AdamArgs folded into what the inner loop multiplies by.
struct AdamConstants {
  bool fused;  // the order of FusedAdam rather than of DeepSpeedCPUAdam
  AdamDecay decay;
  float grad_scale;
  float beta1, one_minus_beta1;
  float beta2, one_minus_beta2;
  float eps;
  float weight_decay;  // -lr * weight decay where the CPU's order decouples it
  float correction1;   // fused: 1 / (1 - beta1^step)
  float correction2;   // fused: 1 / (1 - beta2^step); else its root
  float step_size;     // fused: -lr; else -lr / (1 - beta1^step)
};

/// states: the first and the second moment.
using AdamKernel = UpdateKernel<AdamConstants>;
void adam_scalar(const UpdateBuffers& buffers, int64_t begin, int64_t end, const AdamConstants& constants);
void adam_avx2(const UpdateBuffers& buffers, int64_t begin, int64_t end, const AdamConstants& constants);
void adam_avx512(const UpdateBuffers& buffers, int64_t begin, int64_t end, const AdamConstants& constants);

/// The kernel of an instruction set, or of the best one below it that there is one for.
AdamKernel adam_kernel(base::Isa isa);

}  // namespace deepspeed::ops::cpu
