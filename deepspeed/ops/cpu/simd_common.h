// What the vector types of simd_{scalar,avx2,avx512}.h share. These headers are included by one source per
// instruction set and declare everything in an unnamed namespace: code made under other flags must never be
// merged with theirs.
#pragma once

#include <cstdint>

namespace deepspeed::ops::cpu {
namespace {

#define DS_INLINE inline __attribute__((always_inline))

// 2^x on [-0.5, 0.5], interpolated at Chebyshev nodes: relative error below 2e-8.
constexpr float kExp2Poly[7] = {1.0f,
                                6.9314720670e-01f,
                                2.4022650922e-01f,
                                5.5503272267e-02f,
                                9.6180566785e-03f,
                                1.3400428178e-03f,
                                1.5461444699e-04f};
// Below this 2^x is taken as 0: no subnormal arithmetic.
constexpr float kExp2Floor = -126.0f;

/// Mirrors accel::philox for vectors: round constants.
constexpr uint32_t kPhiloxM0 = 0xD2511F53, kPhiloxM1 = 0xCD9E8D57, kPhiloxW0 = 0x9E3779B9,
                   kPhiloxW1 = 0xBB67AE85;

DS_INLINE float bf16_to_float(uint16_t x) {
  const uint32_t bits = uint32_t{x} << 16;
  float y;
  __builtin_memcpy(&y, &bits, 4);
  return y;
}

DS_INLINE uint16_t float_to_bf16(float x) {
  uint32_t bits;
  __builtin_memcpy(&bits, &x, 4);
  if (x != x) return static_cast<uint16_t>((bits >> 16) | 0x40);
  return static_cast<uint16_t>((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16);
}

DS_INLINE int64_t min64(int64_t a, int64_t b) { return a < b ? a : b; }
DS_INLINE int64_t max64(int64_t a, int64_t b) { return a > b ? a : b; }
DS_INLINE int64_t round_down(int64_t x, int64_t to) { return x / to * to; }
DS_INLINE int64_t round_up(int64_t x, int64_t to) { return (x + to - 1) / to * to; }

}  // namespace
}  // namespace deepspeed::ops::cpu
