#include "deepspeed/ops/cpu/packed_quads_avx512.h"

namespace deepspeed::ops::cpu {
namespace {

struct QuadsVbmi : QuadsVnni {
  static DS_INLINE W lookup(const uint8_t* table, W code) {
    return _mm512_permutexvar_epi8(code, _mm512_load_si512(table));
  }
};

}  // namespace

constinit const PackedKernels kPackedAvx512Vbmi = packed_kernels_of<QuadsVbmi, PackedLanesAvx512>();

}  // namespace deepspeed::ops::cpu
