#include "deepspeed/ops/cpu/activation_loop.h"
#include "deepspeed/ops/cpu/lanes_avx512.h"

namespace deepspeed::ops::cpu {

constinit const ActivationKernels kActivationAvx512 = activation_kernels_of<LanesAvx512>();

}  // namespace deepspeed::ops::cpu
