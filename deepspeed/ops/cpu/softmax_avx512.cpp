#include "deepspeed/ops/cpu/lanes_avx512.h"
#include "deepspeed/ops/cpu/softmax_loop.h"

namespace deepspeed::ops::cpu {

constinit const SoftmaxKernels kSoftmaxAvx512 = softmax_kernels_of<LanesAvx512>();

}  // namespace deepspeed::ops::cpu
