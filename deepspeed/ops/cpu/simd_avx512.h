// Sixteen floats with AVX-512 f, bw, dq, vl.
#pragma once

// gcc 12 takes the undefined operands of its own intrinsics for mistakes (gcc bug 105593).
#ifndef __clang__
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif
#include <immintrin.h>

#include "deepspeed/ops/cpu/simd_common.h"

namespace deepspeed::ops::cpu {
namespace {

struct SimdAvx512 {
  static constexpr int kWidth = 16;
  static constexpr int kTileVectors = 4;
  static constexpr int kPhiloxWords = 32;
  typedef __m512 F;

  static DS_INLINE F set1(float x) { return _mm512_set1_ps(x); }
  static DS_INLINE F load(const float* p) { return _mm512_loadu_ps(p); }
  static DS_INLINE F load(const uint16_t* p) {
    const __m256i half = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(half), 16));
  }
  static DS_INLINE void store(float* p, F x) { _mm512_storeu_ps(p, x); }
  static DS_INLINE void store(uint16_t* p, F x) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), to_bf16(x));
  }
  // Not vcvtneps2bf16, which flushes denormals.
  static DS_INLINE __m256i to_bf16(F x) {
    const __m512i bits = _mm512_castps_si512(x);
    const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
    const __m512i rounded = _mm512_add_epi32(_mm512_add_epi32(bits, _mm512_set1_epi32(0x7FFF)), odd);
    const __mmask16 nan = _mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q);
    const __m512i y = _mm512_mask_or_epi32(rounded, nan, bits, _mm512_set1_epi32(0x400000));
    return _mm512_cvtepi32_epi16(_mm512_srli_epi32(y, 16));
  }
  static DS_INLINE F fma(F a, F b, F c) { return _mm512_fmadd_ps(a, b, c); }
  static DS_INLINE F add(F a, F b) { return _mm512_add_ps(a, b); }
  static DS_INLINE F sub(F a, F b) { return _mm512_sub_ps(a, b); }
  static DS_INLINE F mul(F a, F b) { return _mm512_mul_ps(a, b); }
  static DS_INLINE F div(F a, F b) { return _mm512_div_ps(a, b); }
  static DS_INLINE F max(F a, F b) { return _mm512_max_ps(a, b); }
  static DS_INLINE float sum(F x) { return _mm512_reduce_add_ps(x); }
  static DS_INLINE float largest(F x) { return _mm512_reduce_max_ps(x); }
  static DS_INLINE F exp2(F x) {
    const F n = _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    const __mmask16 large = _mm512_cmp_ps_mask(x, _mm512_set1_ps(kExp2Floor), _CMP_NLT_UQ);
    const F f = _mm512_sub_ps(x, n);
    F y = set1(kExp2Poly[6]);
    for (int k = 5; k >= 0; --k) y = fma(y, f, set1(kExp2Poly[k]));
    return _mm512_maskz_scalef_ps(large, y, n);
  }
  static DS_INLINE F select_ge(const uint32_t* words, uint32_t threshold, F x, F other) {
    const __m512i w = _mm512_loadu_si512(words);
    return _mm512_mask_mov_ps(other,
                              _mm512_cmpge_epu32_mask(w, _mm512_set1_epi32(static_cast<int>(threshold))), x);
  }
  static DS_INLINE void transpose(F r[16]) {
    F t[16];
    for (int i = 0; i < 16; i += 4) {
      const F a = _mm512_unpacklo_ps(r[i], r[i + 1]), b = _mm512_unpackhi_ps(r[i], r[i + 1]);
      const F c = _mm512_unpacklo_ps(r[i + 2], r[i + 3]), d = _mm512_unpackhi_ps(r[i + 2], r[i + 3]);
      t[i] = _mm512_shuffle_ps(a, c, 0x44);
      t[i + 1] = _mm512_shuffle_ps(a, c, 0xEE);
      t[i + 2] = _mm512_shuffle_ps(b, d, 0x44);
      t[i + 3] = _mm512_shuffle_ps(b, d, 0xEE);
    }
    for (int i = 0; i < 4; ++i) {
      const F a = _mm512_shuffle_f32x4(t[i], t[i + 4], 0x88), b = _mm512_shuffle_f32x4(t[i], t[i + 4], 0xDD);
      const F c = _mm512_shuffle_f32x4(t[i + 8], t[i + 12], 0x88),
              d = _mm512_shuffle_f32x4(t[i + 8], t[i + 12], 0xDD);
      r[i] = _mm512_shuffle_f32x4(a, c, 0x88);
      r[i + 4] = _mm512_shuffle_f32x4(b, d, 0x88);
      r[i + 8] = _mm512_shuffle_f32x4(a, c, 0xDD);
      r[i + 12] = _mm512_shuffle_f32x4(b, d, 0xDD);
    }
  }
  /// Blocks counter .. counter + 7. A 64-bit lane holds one block's word in its low half; the multiply
  /// ignores the rest.
  static DS_INLINE void philox(uint64_t seed, uint64_t stream, uint64_t counter, uint32_t* words) {
    const __m512i m0 = _mm512_set1_epi64(kPhiloxM0), m1 = _mm512_set1_epi64(kPhiloxM1);
    const __m512i count = _mm512_add_epi64(_mm512_set1_epi64(static_cast<int64_t>(counter)),
                                           _mm512_setr_epi64(0, 4, 1, 5, 2, 6, 3, 7));
    __m512i c0 = count, c1 = _mm512_srli_epi64(count, 32);
    __m512i c2 = _mm512_set1_epi64(static_cast<int64_t>(stream)), c3 = _mm512_srli_epi64(c2, 32);
    uint32_t k0 = static_cast<uint32_t>(seed), k1 = static_cast<uint32_t>(seed >> 32);
    for (int round = 0; round < 10; ++round, k0 += kPhiloxW0, k1 += kPhiloxW1) {
      const __m512i p0 = _mm512_mul_epu32(m0, c0), p1 = _mm512_mul_epu32(m1, c2);
      c0 = _mm512_ternarylogic_epi64(_mm512_srli_epi64(p1, 32), c1, _mm512_set1_epi64(k0), 0x96);
      c2 = _mm512_ternarylogic_epi64(_mm512_srli_epi64(p0, 32), c3, _mm512_set1_epi64(k1), 0x96);
      c1 = p1;
      c3 = p0;
    }
    const __m512i w01 = _mm512_mask_mov_epi32(c0, 0xAAAA, _mm512_slli_epi64(c1, 32));
    const __m512i w23 = _mm512_mask_mov_epi32(c2, 0xAAAA, _mm512_slli_epi64(c3, 32));
    _mm512_storeu_si512(words, _mm512_unpacklo_epi64(w01, w23));
    _mm512_storeu_si512(words + 16, _mm512_unpackhi_epi64(w01, w23));
  }
};

}  // namespace
}  // namespace deepspeed::ops::cpu
