// What the element-wise kernels need beyond SimdAvx512.
#pragma once

// gcc 12 takes the undefined operands of its own intrinsics for mistakes (gcc bug 105593).
#pragma GCC diagnostic ignored "-Wuninitialized"

#include "deepspeed/ops/cpu/element.h"
#include "deepspeed/ops/cpu/simd_avx512.h"

namespace deepspeed::ops::cpu {
namespace {

struct LanesAvx512 : SimdAvx512 {
  using SimdAvx512::load;
  using SimdAvx512::store;
  static DS_INLINE F load(const Fp16* p) {
    return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
  }
  static DS_INLINE void store(Fp16* p, F x) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm512_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT));
  }
  /// Stores past the caches, to addresses that are multiples of 32; fence() after the last.
  static DS_INLINE void stream(uint16_t* p, F x) {
    _mm256_stream_si256(reinterpret_cast<__m256i*>(p), to_bf16(x));
  }
  static DS_INLINE void stream(Fp16* p, F x) {
    _mm256_stream_si256(reinterpret_cast<__m256i*>(p), _mm512_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT));
  }
  static DS_INLINE void fence() { _mm_sfence(); }
  static DS_INLINE F sqrt(F x) { return _mm512_sqrt_ps(x); }
  /// x, negated where `sign` has its sign bit set (also in zero and NaN).
  static DS_INLINE F flip_sign(F x, F sign) {
    return _mm512_xor_ps(x, _mm512_and_ps(sign, _mm512_set1_ps(-0.0f)));
  }
  /// The second operand where either is NaN, as max.
  static DS_INLINE F min(F a, F b) { return _mm512_min_ps(a, b); }
  static DS_INLINE F abs(F x) { return _mm512_abs_ps(x); }
  static DS_INLINE F round(F x) {
    return _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  }
  /// 1 / x within 1 ulp, for x in [1, 2^100] and NaN. A division takes as long as 16 multiplications.
  static DS_INLINE F reciprocal(F x) {
    const F y = _mm512_rcp14_ps(x);
    return _mm512_fmadd_ps(y, _mm512_fnmadd_ps(x, y, set1(1.0f)), y);
  }
  /// x 2^n for whole n.
  static DS_INLINE F scale(F x, F n) { return _mm512_scalef_ps(x, n); }
  static DS_INLINE F where_negative(F x, F yes, F no) {
    return _mm512_mask_mov_ps(no, _mm512_cmp_ps_mask(x, _mm512_setzero_ps(), _CMP_LT_OQ), yes);
  }
};

}  // namespace
}  // namespace deepspeed::ops::cpu
