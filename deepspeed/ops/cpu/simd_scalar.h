// Four floats in plain C++: for processors without AVX2, and the yardstick of the other instruction sets.
#pragma once

#include <cstdint>

#include "deepspeed/ops/cpu/simd_common.h"

namespace deepspeed::ops::cpu {
namespace {

struct SimdScalar {
  static constexpr int kWidth = 4;
  static constexpr int kTileVectors = 2;  // columns of a register tile
  static constexpr int kPhiloxWords = 4;  // made by one philox() call
  typedef float F __attribute__((vector_size(16)));
  typedef int32_t I __attribute__((vector_size(16)));

  static DS_INLINE F set1(float x) { return F{x, x, x, x}; }
  static DS_INLINE F load(const float* p) {
    F r;
    __builtin_memcpy(&r, p, 16);
    return r;
  }
  static DS_INLINE F load(const uint16_t* p) {
    return F{bf16_to_float(p[0]), bf16_to_float(p[1]), bf16_to_float(p[2]), bf16_to_float(p[3])};
  }
  static DS_INLINE void store(float* p, F x) { __builtin_memcpy(p, &x, 16); }
  static DS_INLINE void store(uint16_t* p, F x) {
    for (int i = 0; i < 4; ++i) p[i] = float_to_bf16(x[i]);
  }
  static DS_INLINE F fma(F a, F b, F c) { return a * b + c; }
  static DS_INLINE F add(F a, F b) { return a + b; }
  static DS_INLINE F sub(F a, F b) { return a - b; }
  static DS_INLINE F mul(F a, F b) { return a * b; }
  static DS_INLINE F div(F a, F b) { return a / b; }
  static DS_INLINE F max(F a, F b) { return a > b ? a : b; }
  static DS_INLINE float sum(F x) { return (x[0] + x[2]) + (x[1] + x[3]); }
  static DS_INLINE float largest(F x) {
    const float a = x[0] > x[2] ? x[0] : x[2], b = x[1] > x[3] ? x[1] : x[3];
    return a > b ? a : b;
  }
  /// 2^x for x <= 128; 0 below -126; NaN stays NaN.
  static DS_INLINE F exp2(F x) {
    F r;
    for (int i = 0; i < 4; ++i) {
      if (x[i] < kExp2Floor) {
        r[i] = 0;
        continue;
      }
      const float n = __builtin_rintf(x[i]), f = x[i] - n;
      float y = kExp2Poly[6];
      for (int k = 5; k >= 0; --k) y = y * f + kExp2Poly[k];
      const uint32_t bits = n == n ? static_cast<uint32_t>(static_cast<int32_t>(n) + 127) << 23 : 0x7FC00000u;
      float power;
      __builtin_memcpy(&power, &bits, 4);
      r[i] = y * power;
    }
    return r;
  }
  /// x where word >= threshold, else `other`.
  static DS_INLINE F select_ge(const uint32_t* words, uint32_t threshold, F x, F other) {
    for (int i = 0; i < 4; ++i) {
      if (words[i] < threshold) x[i] = other[i];
    }
    return x;
  }
  static DS_INLINE void transpose(F r[4]) {
    for (int i = 0; i < 4; ++i) {
      for (int j = 0; j < i; ++j) {
        const float t = r[i][j];
        r[i][j] = r[j][i];
        r[j][i] = t;
      }
    }
  }
  /// Words of block `counter` of the stream, as accel::philox.
  static DS_INLINE void philox(uint64_t seed, uint64_t stream, uint64_t counter, uint32_t* words) {
    uint32_t c0 = static_cast<uint32_t>(counter), c1 = static_cast<uint32_t>(counter >> 32);
    uint32_t c2 = static_cast<uint32_t>(stream), c3 = static_cast<uint32_t>(stream >> 32);
    uint32_t k0 = static_cast<uint32_t>(seed), k1 = static_cast<uint32_t>(seed >> 32);
    for (int round = 0; round < 10; ++round, k0 += kPhiloxW0, k1 += kPhiloxW1) {
      const uint64_t p0 = uint64_t{kPhiloxM0} * c0, p1 = uint64_t{kPhiloxM1} * c2;
      c0 = static_cast<uint32_t>(p1 >> 32) ^ c1 ^ k0;
      c2 = static_cast<uint32_t>(p0 >> 32) ^ c3 ^ k1;
      c1 = static_cast<uint32_t>(p1);
      c3 = static_cast<uint32_t>(p0);
    }
    words[0] = c0;
    words[1] = c1;
    words[2] = c2;
    words[3] = c3;
  }
};

}  // namespace
}  // namespace deepspeed::ops::cpu
