#include "deepspeed/ops/cpu/activation_loop.h"
#include "deepspeed/ops/cpu/lanes_avx2.h"

namespace deepspeed::ops::cpu {

constinit const ActivationKernels kActivationAvx2 = activation_kernels_of<LanesAvx2>();

}  // namespace deepspeed::ops::cpu
