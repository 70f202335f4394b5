#include "deepspeed/ops/cpu/gemm_loop_avx512.h"

namespace deepspeed::ops::cpu {
namespace {

struct Bf16Units {
  using Element = uint16_t;
  static constexpr int64_t kDepth = 2;
  static DS_INLINE __m512 madd(__m512 sum, __m512 a, __m512 b) {
    return _mm512_dpbf16_ps(sum, reinterpret_cast<__m512bh>(a), reinterpret_cast<__m512bh>(b));
  }
  static DS_INLINE __m512 along(const uint16_t* p, int64_t elements) {
    if (elements >= 32) return _mm512_castsi512_ps(_mm512_loadu_si512(p));
    return _mm512_castsi512_ps(_mm512_maskz_loadu_epi16((uint32_t{1} << elements) - 1, p));
  }
  static DS_INLINE __m512 across(const uint16_t* p, int64_t depth_stride, int64_t elements, __mmask16 lanes) {
    const __m512i low = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(lanes, p));
    if (elements < 2) return _mm512_castsi512_ps(low);
    const __m512i high = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(lanes, p + depth_stride));
    return _mm512_castsi512_ps(_mm512_or_si512(low, _mm512_slli_epi32(high, 16)));
  }
};

}  // namespace

const GemmKernel kGemmBf16Avx512 = kGemmByUnits<Bf16Units>;

}  // namespace deepspeed::ops::cpu
