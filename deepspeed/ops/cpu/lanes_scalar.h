// What the element-wise kernels need beyond SimdScalar.
#pragma once

#include "deepspeed/ops/cpu/element.h"
#include "deepspeed/ops/cpu/simd_scalar.h"

namespace deepspeed::ops::cpu {
namespace {

struct LanesScalar : SimdScalar {
  using SimdScalar::load;
  using SimdScalar::store;
  static DS_INLINE F load(const Fp16* p) {
    _Float16 half[4];
    __builtin_memcpy(half, p, 8);
    return F{float(half[0]), float(half[1]), float(half[2]), float(half[3])};
  }
  static DS_INLINE void store(Fp16* p, F x) {
    const _Float16 half[4] = {_Float16(x[0]), _Float16(x[1]), _Float16(x[2]), _Float16(x[3])};
    __builtin_memcpy(p, half, 8);
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
