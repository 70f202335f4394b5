#include "deepspeed/ops/cpu/packed_quads_avx512.h"

namespace deepspeed::ops::cpu {

constinit const PackedKernels kPackedAvx512 = packed_kernels_of<QuadsAvx512, PackedLanesAvx512>();

}  // namespace deepspeed::ops::cpu
