#include "deepspeed/ops/cpu/packed_quads_avx512.h"

namespace deepspeed::ops::cpu {

constinit const PackedKernels kPackedAvx512Vnni = packed_kernels_of<QuadsVnni, PackedLanesAvx512>();

}  // namespace deepspeed::ops::cpu
