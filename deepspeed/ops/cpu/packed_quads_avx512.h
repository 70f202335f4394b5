// Quads of packed weights in 512-bit registers, for packed_avx512*.cpp.
#pragma once

#include "deepspeed/ops/cpu/lanes_avx512.h"
#include "deepspeed/ops/cpu/packed_loop.h"

namespace deepspeed::ops::cpu {
namespace {

struct PackedLanesAvx512 : LanesAvx512 {
  static constexpr int kFloatRows = 12;
  static DS_INLINE void pair(const uint16_t* p, F& even, F& odd) {
    const __m512i both = _mm512_loadu_si512(p);
    even = _mm512_castsi512_ps(_mm512_slli_epi32(both, 16));
    odd = _mm512_castsi512_ps(_mm512_and_si512(both, _mm512_set1_epi32(static_cast<int>(0xFFFF0000))));
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
  static constexpr int kRows[3] = {8, 4, 2};
  static constexpr int kWords[2] = {1, 2};

  static DS_INLINE int32_t four_bytes(const int32_t* from, int shift) {
    uint32_t word = 0;
    for (int j = 0; j < 4; ++j) word |= static_cast<uint32_t>(from[j] >> shift & 255) << (8 * j);
    return static_cast<int32_t>(word);
  }
  template <bool kWide>
  static DS_INLINE void code_quad(const int32_t* quad, int32_t* words) {
    if constexpr (!kWide) {
      words[0] = four_bytes(quad, 0);
    } else {
      const int32_t raised[4] = {quad[0] + 128, quad[1] + 128, quad[2] + 128, quad[3] + 128};
      words[0] = four_bytes(raised, 8);
      words[1] = four_bytes(quad, 0);  // X - 256 upper, modulo 256
    }
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
