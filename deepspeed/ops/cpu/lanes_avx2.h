// What the element-wise kernels need beyond SimdAvx2.
#pragma once

#include "deepspeed/ops/cpu/element.h"
#include "deepspeed/ops/cpu/simd_avx2.h"

namespace deepspeed::ops::cpu {
namespace {

struct LanesAvx2 : SimdAvx2 {
  using SimdAvx2::load;
  using SimdAvx2::store;
  static DS_INLINE F load(const Fp16* p) {
    return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
  }
  static DS_INLINE void store(Fp16* p, F x) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm256_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT));
  }
  /// Stores past the caches, to addresses that are multiples of 16; fence() after the last.
  static DS_INLINE void stream(uint16_t* p, F x) {
    _mm_stream_si128(reinterpret_cast<__m128i*>(p), to_bf16(x));
  }
  static DS_INLINE void stream(Fp16* p, F x) {
    _mm_stream_si128(reinterpret_cast<__m128i*>(p), _mm256_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT));
  }
  static DS_INLINE void fence() { _mm_sfence(); }
  static DS_INLINE F sqrt(F x) { return _mm256_sqrt_ps(x); }
  /// x, negated where `sign` has its sign bit set (also in zero and NaN).
  static DS_INLINE F flip_sign(F x, F sign) {
    return _mm256_xor_ps(x, _mm256_and_ps(sign, _mm256_set1_ps(-0.0f)));
  }
  /// The second operand where either is NaN, as max.
  static DS_INLINE F min(F a, F b) { return _mm256_min_ps(a, b); }
  static DS_INLINE F abs(F x) { return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), x); }
  static DS_INLINE F round(F x) { return _mm256_round_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
  /// 1 / x, for x in [1, 2^100] and NaN.
  static DS_INLINE F reciprocal(F x) { return _mm256_div_ps(set1(1.0f), x); }
  /// x 2^n for whole n in [-252, 254]. Two factors, because one cannot reach the subnormal numbers.
  static DS_INLINE F scale(F x, F n) {
    const __m256i whole = _mm256_cvtps_epi32(n), half = _mm256_srai_epi32(whole, 1);
    return _mm256_mul_ps(_mm256_mul_ps(x, power(half)), power(_mm256_sub_epi32(whole, half)));
  }
  static DS_INLINE F where_negative(F x, F yes, F no) {
    return _mm256_blendv_ps(no, yes, _mm256_cmp_ps(x, _mm256_setzero_ps(), _CMP_LT_OQ));
  }

 private:
  static DS_INLINE F power(__m256i n) {
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(n, _mm256_set1_epi32(127)), 23));
  }
};

}  // namespace
}  // namespace deepspeed::ops::cpu
