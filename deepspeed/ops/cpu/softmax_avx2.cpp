#include "deepspeed/ops/cpu/lanes_avx2.h"
#include "deepspeed/ops/cpu/softmax_loop.h"

namespace deepspeed::ops::cpu {

constinit const SoftmaxKernels kSoftmaxAvx2 = softmax_kernels_of<LanesAvx2>();

}  // namespace deepspeed::ops::cpu
