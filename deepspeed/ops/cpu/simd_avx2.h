// Eight floats with AVX2, FMA.
#pragma once

#include <immintrin.h>

#include "deepspeed/ops/cpu/simd_common.h"

namespace deepspeed::ops::cpu {
namespace {

struct SimdAvx2 {
  static constexpr int kWidth = 8;
  static constexpr int kTileVectors = 2;
  static constexpr int kPhiloxWords = 16;
  typedef __m256 F;

  static DS_INLINE F set1(float x) { return _mm256_set1_ps(x); }
  static DS_INLINE F load(const float* p) { return _mm256_loadu_ps(p); }
  static DS_INLINE F load(const uint16_t* p) {
    const __m128i half = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(half), 16));
  }
  static DS_INLINE void store(float* p, F x) { _mm256_storeu_ps(p, x); }
  static DS_INLINE void store(uint16_t* p, F x) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(p), to_bf16(x));
  }
  static DS_INLINE __m128i to_bf16(F x) {
    const __m256i bits = _mm256_castps_si256(x);
    const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
    const __m256i rounded = _mm256_add_epi32(_mm256_add_epi32(bits, _mm256_set1_epi32(0x7FFF)), odd);
    const __m256 nan = _mm256_cmp_ps(x, x, _CMP_UNORD_Q);
    const __m256i quiet = _mm256_or_si256(bits, _mm256_set1_epi32(0x400000));
    const __m256i y = _mm256_srli_epi32(_mm256_blendv_epi8(rounded, quiet, _mm256_castps_si256(nan)), 16);
    return _mm256_castsi256_si128(_mm256_permute4x64_epi64(_mm256_packus_epi32(y, y), 0x08));
  }
  static DS_INLINE F fma(F a, F b, F c) { return _mm256_fmadd_ps(a, b, c); }
  static DS_INLINE F add(F a, F b) { return _mm256_add_ps(a, b); }
  static DS_INLINE F sub(F a, F b) { return _mm256_sub_ps(a, b); }
  static DS_INLINE F mul(F a, F b) { return _mm256_mul_ps(a, b); }
  static DS_INLINE F div(F a, F b) { return _mm256_div_ps(a, b); }
  static DS_INLINE F max(F a, F b) { return _mm256_max_ps(a, b); }
  static DS_INLINE float sum(F x) {
    __m128 h = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    h = _mm_add_ps(h, _mm_movehl_ps(h, h));
    return _mm_cvtss_f32(_mm_add_ss(h, _mm_movehdup_ps(h)));
  }
  static DS_INLINE float largest(F x) {
    __m128 h = _mm_max_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    h = _mm_max_ps(h, _mm_movehl_ps(h, h));
    return _mm_cvtss_f32(_mm_max_ss(h, _mm_movehdup_ps(h)));
  }
  static DS_INLINE F exp2(F x) {
    // The first operand of max gives way to a NaN in the second.
    const F bounded = _mm256_max_ps(_mm256_set1_ps(kExp2Floor), x);
    const F n = _mm256_round_ps(bounded, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC),
            f = _mm256_sub_ps(bounded, n);
    F y = set1(kExp2Poly[6]);
    for (int k = 5; k >= 0; --k) y = fma(y, f, set1(kExp2Poly[k]));
    const __m256i power =
        _mm256_slli_epi32(_mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127)), 23);
    const F tiny = _mm256_cmp_ps(x, _mm256_set1_ps(kExp2Floor), _CMP_LT_OQ);
    return _mm256_andnot_ps(tiny, _mm256_mul_ps(y, _mm256_castsi256_ps(power)));
  }
  static DS_INLINE F select_ge(const uint32_t* words, uint32_t threshold, F x, F other) {
    const __m256i w = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(words));
    const __m256i keep =
        _mm256_cmpeq_epi32(_mm256_max_epu32(w, _mm256_set1_epi32(static_cast<int>(threshold))), w);
    return _mm256_blendv_ps(other, x, _mm256_castsi256_ps(keep));
  }
  static DS_INLINE void transpose(F r[8]) {
    F t[8];
    for (int i = 0; i < 8; i += 4) {
      const F a = _mm256_unpacklo_ps(r[i], r[i + 1]), b = _mm256_unpackhi_ps(r[i], r[i + 1]);
      const F c = _mm256_unpacklo_ps(r[i + 2], r[i + 3]), d = _mm256_unpackhi_ps(r[i + 2], r[i + 3]);
      t[i] = _mm256_shuffle_ps(a, c, 0x44);
      t[i + 1] = _mm256_shuffle_ps(a, c, 0xEE);
      t[i + 2] = _mm256_shuffle_ps(b, d, 0x44);
      t[i + 3] = _mm256_shuffle_ps(b, d, 0xEE);
    }
    for (int i = 0; i < 4; ++i) {
      r[i] = _mm256_permute2f128_ps(t[i], t[i + 4], 0x20);
      r[i + 4] = _mm256_permute2f128_ps(t[i], t[i + 4], 0x31);
    }
  }
  /// Blocks counter .. counter + 3. A 64-bit lane holds one block's word in its low half; the multiply
  /// ignores the rest.
  static DS_INLINE void philox(uint64_t seed, uint64_t stream, uint64_t counter, uint32_t* words) {
    const __m256i m0 = _mm256_set1_epi64x(kPhiloxM0), m1 = _mm256_set1_epi64x(kPhiloxM1);
    const __m256i count =
        _mm256_add_epi64(_mm256_set1_epi64x(static_cast<int64_t>(counter)), _mm256_setr_epi64x(0, 2, 1, 3));
    __m256i c0 = count, c1 = _mm256_srli_epi64(count, 32);
    __m256i c2 = _mm256_set1_epi64x(static_cast<int64_t>(stream)), c3 = _mm256_srli_epi64(c2, 32);
    uint32_t k0 = static_cast<uint32_t>(seed), k1 = static_cast<uint32_t>(seed >> 32);
    for (int round = 0; round < 10; ++round, k0 += kPhiloxW0, k1 += kPhiloxW1) {
      const __m256i p0 = _mm256_mul_epu32(m0, c0), p1 = _mm256_mul_epu32(m1, c2);
      c0 = _mm256_xor_si256(_mm256_srli_epi64(p1, 32), _mm256_xor_si256(c1, _mm256_set1_epi64x(k0)));
      c2 = _mm256_xor_si256(_mm256_srli_epi64(p0, 32), _mm256_xor_si256(c3, _mm256_set1_epi64x(k1)));
      c1 = p1;
      c3 = p0;
    }
    const __m256i w01 = _mm256_blend_epi32(c0, _mm256_slli_epi64(c1, 32), 0xAA);
    const __m256i w23 = _mm256_blend_epi32(c2, _mm256_slli_epi64(c3, 32), 0xAA);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(words), _mm256_unpacklo_epi64(w01, w23));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(words + 8), _mm256_unpackhi_epi64(w01, w23));
  }
};

}  // namespace
}  // namespace deepspeed::ops::cpu
