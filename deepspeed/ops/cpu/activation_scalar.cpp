#include "deepspeed/ops/cpu/activation_loop.h"
#include "deepspeed/ops/cpu/lanes_scalar.h"

namespace deepspeed::ops::cpu {

constinit const ActivationKernels kActivationScalar = activation_kernels_of<LanesScalar>();

}  // namespace deepspeed::ops::cpu
