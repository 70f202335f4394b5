// What the element-wise kernels need beyond SimdScalar.
#pragma once

#include "deepspeed/ops/cpu/element.h"
#include "deepspeed/ops/cpu/simd_scalar.h"

namespace deepspeed::ops::cpu {
namespace {

// By hand: not every compiler has _Float16 on every processor.
DS_INLINE float half_to_float(uint16_t half) {
  const uint32_t sign = uint32_t{half & 0x8000u} << 16, rest = half & 0x7FFFu;
  if (rest >= 0x7C00) return __builtin_bit_cast(float, sign | 0x7F800000 | (rest & 0x3FF) << 13);
  if (rest < 0x0400) {  // no leading one: so many times 2^-24
    const float value = static_cast<float>(rest) * 0x1p-24f;
    return sign != 0 ? -value : value;
  }
  return __builtin_bit_cast(float, sign | ((rest << 13) + (112u << 23)));
}

// To the nearest, ties to even.
DS_INLINE uint16_t float_to_half(float value) {
  const auto bits = __builtin_bit_cast(uint32_t, value);
  const uint32_t sign = bits >> 16 & 0x8000, rest = bits & 0x7FFFFFFF;
  uint32_t half;
  if (rest > 0x7F800000)  // NaN: quiet, what of its payload there is room for
    half = 0x7E00 | (rest >> 13 & 0x3FF);
  else if (rest >= 0x477FF000)  // 65520 and more
    half = 0x7C00;
  else if (rest < 0x38800000)  // below 2^-14; the last place of 0.5 is 2^-24
    half = __builtin_bit_cast(uint32_t, __builtin_bit_cast(float, rest) + 0.5f) - 0x3F000000;
  else
    half = (rest + 0xFFF + (rest >> 13 & 1) - (112u << 23)) >> 13;
  return static_cast<uint16_t>(sign | half);
}

struct LanesScalar : SimdScalar {
  using SimdScalar::load;
  using SimdScalar::store;
  static DS_INLINE F load(const Fp16* p) {
    return F{half_to_float(p[0].bits), half_to_float(p[1].bits), half_to_float(p[2].bits),
             half_to_float(p[3].bits)};
  }
  static DS_INLINE void store(Fp16* p, F x) {
    for (int i = 0; i < 4; ++i) p[i].bits = float_to_half(x[i]);
  }
  static DS_INLINE void stream(uint16_t* p, F x) { store(p, x); }
  static DS_INLINE void stream(Fp16* p, F x) { store(p, x); }
  static DS_INLINE void fence() {}
  static DS_INLINE F sqrt(F x) {
    for (int i = 0; i < 4; ++i) x[i] = __builtin_sqrtf(x[i]);
    return x;
  }
  /// x, negated where `sign` has its sign bit set (also in zero and NaN).
  static DS_INLINE F flip_sign(F x, F sign) {
    for (int i = 0; i < 4; ++i) x[i] = __builtin_signbit(sign[i]) ? -x[i] : x[i];
    return x;
  }
  /// The second operand where either is NaN, as max.
  static DS_INLINE F min(F a, F b) { return a < b ? a : b; }
  static DS_INLINE F abs(F x) {
    for (int i = 0; i < 4; ++i) x[i] = __builtin_fabsf(x[i]);
    return x;
  }
  static DS_INLINE F round(F x) {
    for (int i = 0; i < 4; ++i) x[i] = __builtin_rintf(x[i]);
    return x;
  }
  /// 1 / x, for x in [1, 2^100] and NaN.
  static DS_INLINE F reciprocal(F x) { return set1(1.0f) / x; }
  /// x 2^n for whole n in [-252, 254]. Two factors, because one cannot reach the subnormal numbers.
  static DS_INLINE F scale(F x, F n) {
    for (int i = 0; i < 4; ++i) {
      const int32_t whole = n[i] == n[i] ? static_cast<int32_t>(n[i]) : 0, half = whole >> 1;
      x[i] = x[i] * power(half) * power(whole - half);
    }
    return x;
  }
  static DS_INLINE F where_negative(F x, F yes, F no) { return x < F{} ? yes : no; }

 private:
  static DS_INLINE float power(int32_t n) {
    const uint32_t bits = static_cast<uint32_t>(n + 127) << 23;
    float y;
    __builtin_memcpy(&y, &bits, 4);
    return y;
  }
};

}  // namespace
}  // namespace deepspeed::ops::cpu
