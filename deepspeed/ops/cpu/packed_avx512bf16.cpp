// bf16 weights by dot products of pairs: twice the rate of fp32 on AMD's processors from Zen 4 on.
#include "deepspeed/ops/cpu/packed_quads_avx512.h"

namespace deepspeed::ops::cpu {
namespace {

struct PairLanes : PackedLanesAvx512 {
  static DS_INLINE F dot(F x, F w, F sum) {
    return _mm512_dpbf16_ps(sum, reinterpret_cast<__m512bh>(x), reinterpret_cast<__m512bh>(w));
  }
};

}  // namespace

void packed_bf16_pairs(const PackedProduct& p, int64_t begin, int64_t end, int64_t row_begin,
                       int64_t row_end) {
  float_multiply<PairLanes, PackedScheme::kBf16>(p, begin, end, row_begin, row_end);
}

}  // namespace deepspeed::ops::cpu
