#include "deepspeed/ops/cpu/lanes_scalar.h"
#include "deepspeed/ops/cpu/softmax_loop.h"

namespace deepspeed::ops::cpu {

constinit const SoftmaxKernels kSoftmaxScalar = softmax_kernels_of<LanesScalar>();

}  // namespace deepspeed::ops::cpu
