// What gelu and the gated units share.
#pragma once

#include "deepspeed/base/cpu_features.h"
#include "deepspeed/ops/cpu/activation_kernel.h"
#include "deepspeed/ops/parallel.h"

namespace deepspeed::ops {

const cpu::ActivationKernels& activation_kernels(base::Isa isa);

/// Runs an element-wise kernel over n elements on the compute threads.
template <class Args>
void for_elements(void (*kernel)(const Args&, int64_t, int64_t), const Args& args, int64_t n) {
  constexpr int64_t kElementsPerThread = 16384;
  parallel_ranges(n, kElementsPerThread, [&](int64_t begin, int64_t end) { kernel(args, begin, end); });
}

}  // namespace deepspeed::ops
