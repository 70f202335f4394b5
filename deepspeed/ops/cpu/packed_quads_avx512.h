// Quads of packed weights in 512-bit registers, for packed_avx512*.cpp.
#pragma once

#include "deepspeed/ops/cpu/lanes_avx512.h"
#include "deepspeed/ops/cpu/packed_loop.h"

namespace deepspeed::ops::cpu {
namespace {

struct PackedLanesAvx512 : LanesAvx512 {
  static constexpr int kFloatRows = 12, kFloatPanels = 2;
  static DS_INLINE F even(const uint16_t* p) {
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_loadu_si512(p), 16));
  }
  static DS_INLINE F odd(const uint16_t* p) {
    return _mm512_castsi512_ps(
        _mm512_and_si512(_mm512_loadu_si512(p), _mm512_set1_epi32(static_cast<int>(0xFFFF0000))));
  }
};

struct BytesAvx512 {
  using W = __m512i;
  static DS_INLINE W bytes(const uint8_t* p) { return _mm512_loadu_si512(p); }
  template <int kShift, int kMask>
  static DS_INLINE W bits(W w) {
    return _mm512_and_si512(_mm512_srli_epi16(w, kShift), _mm512_set1_epi8(kMask));
  }
  template <int kShift, int kMask>
  static DS_INLINE W bits_up(W w) {
    return _mm512_and_si512(_mm512_slli_epi16(w, kShift), _mm512_set1_epi8(kMask));
  }
  static DS_INLINE W merge(W a, W b) { return _mm512_or_si512(a, b); }
  static DS_INLINE W lookup(const uint8_t* table, W code) {
    const auto part = [&](int i) {
      const __m128i sixteen = _mm_load_si128(reinterpret_cast<const __m128i*>(table + 16 * i));
      return _mm512_shuffle_epi8(_mm512_broadcast_i32x4(sixteen), code);
    };
    const __mmask64 bit4 = _mm512_test_epi8_mask(code, _mm512_set1_epi8(16)),
                    bit5 = _mm512_test_epi8_mask(code, _mm512_set1_epi8(32));
    return _mm512_mask_blend_epi8(bit5, _mm512_mask_blend_epi8(bit4, part(0), part(1)),
                                  _mm512_mask_blend_epi8(bit4, part(2), part(3)));
  }
  static DS_INLINE void total_of(__m512i low, __m512i high, bool both, int32_t minus, __m512* result) {
    if (both) low = _mm512_add_epi32(low, _mm512_slli_epi32(high, 8));
    *result = _mm512_cvtepi32_ps(_mm512_sub_epi32(low, _mm512_set1_epi32(minus)));
  }
};

#ifdef __AVX512VNNI__
// X as its upper and its lower byte, both signed, for vpdpbusd.
struct QuadsVnni : BytesAvx512 {
  struct Sum {
    __m512i upper, lower;
  };
  static constexpr int kRows[3] = {8, 8, 4};
  static constexpr int kWords[2] = {1, 2};

  template <bool kWide>
  static DS_INLINE int32_t code(const float* numbers, int64_t count, int32_t* words) {
    __m512i sum = _mm512_setzero_si512();
    for (int64_t i = 0; i < count; i += 16, words += 4 * kWords[kWide]) {
      const __m512i x = _mm512_cvtps_epi32(_mm512_loadu_ps(numbers + i));
      sum = _mm512_add_epi32(sum, x);
      const __m128i lower = _mm512_cvtepi32_epi8(x);  // X - 256 upper, modulo 256
      auto* to = reinterpret_cast<__m128i*>(words);
      if constexpr (!kWide) {
        _mm_storeu_si128(to, lower);
      } else {
        const __m512i raised = _mm512_add_epi32(x, _mm512_set1_epi32(128));
        const __m128i upper = _mm512_cvtepi32_epi8(_mm512_srai_epi32(raised, 8));
        _mm_storeu_si128(to, _mm_unpacklo_epi32(upper, lower));
        _mm_storeu_si128(to + 1, _mm_unpackhi_epi32(upper, lower));
      }
    }
    return _mm512_reduce_add_epi32(sum);
  }
  template <bool kWide>
  static DS_INLINE void dot(Sum& sum, W w, const int32_t* x) {
    sum.upper = _mm512_dpbusd_epi32(sum.upper, w, _mm512_set1_epi32(x[0]));
    if constexpr (kWide) sum.lower = _mm512_dpbusd_epi32(sum.lower, w, _mm512_set1_epi32(x[1]));
  }
  template <bool kWide>
  static DS_INLINE void total(const Sum& low, const Sum& high, bool both, int32_t minus, __m512* result) {
    total_of(joined<kWide>(low), joined<kWide>(high), both, minus, result);
  }

 private:
  template <bool kWide>
  static DS_INLINE __m512i joined(const Sum& sum) {
    return kWide ? _mm512_add_epi32(_mm512_slli_epi32(sum.upper, 8), sum.lower) : sum.upper;
  }
};
#else
// As QuadsAvx2.
struct QuadsAvx512 : BytesAvx512 {
  using Sum = __m512i;
  static constexpr int kRows[3] = {4, 4, 2};
  static constexpr int kWords[2] = {2, 2};

  template <bool kWide>
  static DS_INLINE int32_t code(const float* numbers, int64_t count, int32_t* words) {
    return code_quads<QuadsAvx512, kWide>(numbers, count, words);
  }
  static DS_INLINE void code_quad(const int32_t* quad, int32_t* words) {
    for (int i = 0; i < 2; ++i)
      words[i] = static_cast<int32_t>(static_cast<uint32_t>(quad[i] & 0xFFFF) |
                                      static_cast<uint32_t>(quad[i + 2]) << 16);
  }
  template <bool kWide>
  static DS_INLINE void dot(Sum& sum, W w, const int32_t* x) {
    const __m512i even = _mm512_and_si512(w, _mm512_set1_epi16(255)), odd = _mm512_srli_epi16(w, 8);
    sum = _mm512_add_epi32(sum, _mm512_add_epi32(_mm512_madd_epi16(even, _mm512_set1_epi32(x[0])),
                                                 _mm512_madd_epi16(odd, _mm512_set1_epi32(x[1]))));
  }
  template <bool kWide>
  static DS_INLINE void total(Sum low, Sum high, bool both, int32_t minus, __m512* result) {
    total_of(low, high, both, minus, result);
  }
};
#endif

}  // namespace
}  // namespace deepspeed::ops::cpu
