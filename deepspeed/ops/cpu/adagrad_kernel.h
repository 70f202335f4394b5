// The Adagrad update on raw pointers, once per instruction set. Torch-free.
#pragma once

#include "deepspeed/base/cpu_features.h"
#include "deepspeed/ops/cpu/update_kernel.h"

namespace deepspeed::ops::cpu {

struct AdagradConstants {
  bool fused;  // torch's order rather than DeepSpeedCPUAdagrad's
  bool decay;  // whether weight_decay is above 0
  float grad_scale;
  float weight_decay;
  float eps;
  float step_size;  // -lr, decayed
};

/// states: the sum of squares.
using AdagradKernel = UpdateKernel<AdagradConstants>;
void adagrad_scalar(const UpdateBuffers& buffers, int64_t begin, int64_t end,
                    const AdagradConstants& constants);
void adagrad_avx2(const UpdateBuffers& buffers, int64_t begin, int64_t end,
                  const AdagradConstants& constants);
void adagrad_avx512(const UpdateBuffers& buffers, int64_t begin, int64_t end,
                    const AdagradConstants& constants);

/// The kernel of an instruction set, or of the best one below it that there is one for.
AdagradKernel adagrad_kernel(base::Isa isa);

}  // namespace deepspeed::ops::cpu
