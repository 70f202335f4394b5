#include "deepspeed/ops/cpu/lanes_avx2.h"
#include "deepspeed/ops/cpu/packed_loop.h"

namespace deepspeed::ops::cpu {
namespace {

struct PackedLanesAvx2 : LanesAvx2 {
  static constexpr int kFloatRows = 6, kFloatPanels = 1;
  static DS_INLINE __m256i pairs(const uint16_t* p) {
    return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
  }
  static DS_INLINE F even(const uint16_t* p) { return _mm256_castsi256_ps(_mm256_slli_epi32(pairs(p), 16)); }
  static DS_INLINE F odd(const uint16_t* p) {
    return _mm256_castsi256_ps(_mm256_and_si256(pairs(p), _mm256_set1_epi32(static_cast<int>(0xFFFF0000))));
  }
};

// X as (X0, X2) and (X1, X3) in 16 bits: vpmaddwd with the even and the odd bytes of a quad.
struct QuadsAvx2 {
  struct W {
    __m256i v[2];
  };
  struct Sum {
    __m256i v[2];
  };
  static constexpr int kRows[3] = {2, 2, 1};
  static constexpr int kWords[2] = {2, 2};

  template <bool kWide>
  static DS_INLINE int32_t code(const float* numbers, int64_t count, int32_t* words) {
    return code_quads<QuadsAvx2, kWide>(numbers, count, words);
  }
  static DS_INLINE void code_quad(const int32_t* quad, int32_t* words) {
    for (int i = 0; i < 2; ++i)
      words[i] = static_cast<int32_t>(static_cast<uint32_t>(quad[i] & 0xFFFF) |
                                      static_cast<uint32_t>(quad[i + 2]) << 16);
  }
  static DS_INLINE W bytes(const uint8_t* p) {
    const auto* from = reinterpret_cast<const __m256i*>(p);
    return {{_mm256_loadu_si256(from), _mm256_loadu_si256(from + 1)}};
  }
  template <class Change>
  static DS_INLINE W changed(const W& w, Change&& change) {
    return {{change(w.v[0]), change(w.v[1])}};
  }
  template <int kShift, int kMask>
  static DS_INLINE W bits(const W& w) {
    return changed(
        w, [](__m256i v) { return _mm256_and_si256(_mm256_srli_epi16(v, kShift), _mm256_set1_epi8(kMask)); });
  }
  template <int kShift, int kMask>
  static DS_INLINE W bits_up(const W& w) {
    return changed(
        w, [](__m256i v) { return _mm256_and_si256(_mm256_slli_epi16(v, kShift), _mm256_set1_epi8(kMask)); });
  }
  static DS_INLINE W merge(const W& a, const W& b) {
    return {{_mm256_or_si256(a.v[0], b.v[0]), _mm256_or_si256(a.v[1], b.v[1])}};
  }
  static DS_INLINE W lookup(const uint8_t* table, const W& code) {
    return changed(code, [&](__m256i v) {
      const auto part = [&](int i) {
        const __m128i sixteen = _mm_load_si128(reinterpret_cast<const __m128i*>(table + 16 * i));
        return _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(sixteen), v);
      };
      const __m256i bit4 = _mm256_slli_epi16(v, 3), bit5 = _mm256_slli_epi16(v, 2);
      return _mm256_blendv_epi8(_mm256_blendv_epi8(part(0), part(1), bit4),
                                _mm256_blendv_epi8(part(2), part(3), bit4), bit5);
    });
  }
  template <bool kWide>
  static DS_INLINE void dot(Sum& sum, const W& w, const int32_t* x) {
    const __m256i x_even = _mm256_set1_epi32(x[0]), x_odd = _mm256_set1_epi32(x[1]);
    for (int i = 0; i < 2; ++i) {
      const __m256i even = _mm256_and_si256(w.v[i], _mm256_set1_epi16(255)),
                    odd = _mm256_srli_epi16(w.v[i], 8);
      sum.v[i] = _mm256_add_epi32(
          sum.v[i], _mm256_add_epi32(_mm256_madd_epi16(even, x_even), _mm256_madd_epi16(odd, x_odd)));
    }
  }
  template <bool kWide>
  static DS_INLINE void total(const Sum& low, const Sum& high, bool both, int32_t minus, __m256* result) {
    for (int i = 0; i < 2; ++i) {
      __m256i sum = low.v[i];
      if (both) sum = _mm256_add_epi32(sum, _mm256_slli_epi32(high.v[i], 8));
      result[i] = _mm256_cvtepi32_ps(_mm256_sub_epi32(sum, _mm256_set1_epi32(minus)));
    }
  }
};

}  // namespace

constinit const PackedKernels kPackedAvx2 = packed_kernels_of<QuadsAvx2, PackedLanesAvx2>();

}  // namespace deepspeed::ops::cpu
