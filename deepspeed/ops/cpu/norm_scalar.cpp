#include "deepspeed/ops/cpu/lanes_scalar.h"
#include "deepspeed/ops/cpu/norm_loop.h"

namespace deepspeed::ops::cpu {

constinit const NormKernels kNormScalar = norm_kernels_of<LanesScalar>();

}  // namespace deepspeed::ops::cpu
