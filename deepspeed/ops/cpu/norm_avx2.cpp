#include "deepspeed/ops/cpu/lanes_avx2.h"
#include "deepspeed/ops/cpu/norm_loop.h"

namespace deepspeed::ops::cpu {

constinit const NormKernels kNormAvx2 = norm_kernels_of<LanesAvx2>();

}  // namespace deepspeed::ops::cpu
