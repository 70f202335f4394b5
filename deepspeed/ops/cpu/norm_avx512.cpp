#include "deepspeed/ops/cpu/lanes_avx512.h"
#include "deepspeed/ops/cpu/norm_loop.h"

namespace deepspeed::ops::cpu {

constinit const NormKernels kNormAvx512 = norm_kernels_of<LanesAvx512>();

}  // namespace deepspeed::ops::cpu
