#include "deepspeed/ops/packed_codes.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <vector>

namespace deepspeed::ops {
namespace {

using cpu::PackedScheme;

constexpr float kLeastLargest = 0x1p-100f;

// |x| rounded up.
uint16_t bf16_away_from_zero(float x) {
  const auto bits = std::bit_cast<uint32_t>(x);
  return static_cast<uint16_t>((bits + 0xFFFF) >> 16);
}

int8_t nearest_integer(float x, float least, float most) {
  return static_cast<int8_t>(std::clamp(std::nearbyint(x), least, most));
}

// Ties to the even mantissa.
int8_t nearest_fp6(float x) {
  const float magnitude = std::min(std::fabs(x), 28.0f);
  // The step is 2^-4 below 1/2 and a quarter of the power of two from there on.
  const int exponent = magnitude < 0.5f ? -2 : std::ilogb(magnitude);
  const float step = std::ldexp(1.0f, exponent - 2);
  const float rounded = std::nearbyint(magnitude / step) * step;
  int code = 0;
  if (rounded > 0) {
    const int e = rounded < 0.25f ? -2 : std::ilogb(rounded);
    code = rounded < 0.25f ? static_cast<int>(rounded * 16)
                           : (e + 3) << 2 | (static_cast<int>(std::ldexp(rounded, 2 - e)) & 3);
  }
  return static_cast<int8_t>(std::signbit(x) && code != 0 ? code | 32 : code);
}

// Codes by this scale; returns the sum of squared errors.
double round_group(PackedScheme scheme, const float* w, int64_t count, float scale, int8_t* codes) {
  double squares = 0;
  for (int64_t i = 0; i < count; ++i) {
    codes[i] = nearest_code(scheme, w[i] / scale);
    const double error = static_cast<double>(w[i]) - double{scale} * code_value(scheme, codes[i]);
    squares += error * error;
  }
  return squares;
}

uint16_t quantize_int4(const float* w, int64_t count, float largest, int8_t* codes) {
  std::vector<int8_t> other(static_cast<size_t>(count));
  const uint16_t even = bf16_away_from_zero(std::fabs(largest) / 7), full = bf16_away_from_zero(largest / -8);
  const double squares = round_group(PackedScheme::kInt4, w, count, bf16_value(even), codes);
  if (round_group(PackedScheme::kInt4, w, count, bf16_value(full), other.data()) >= squares) return even;
  std::copy_n(other.data(), count, codes);
  return full;
}

}  // namespace

float bf16_value(uint16_t bits) { return std::bit_cast<float>(uint32_t{bits} << 16); }

uint16_t nearest_bf16(float x) {
  const auto bits = std::bit_cast<uint32_t>(x);
  if (x != x) return static_cast<uint16_t>((bits >> 16) | 0x40);
  return static_cast<uint16_t>((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16);
}

float code_value(PackedScheme scheme, int8_t code) {
  if (scheme == PackedScheme::kFp6) return static_cast<float>(cpu::fp6_sixteenths(code)) / 16;
  return code;
}

int8_t nearest_code(PackedScheme scheme, float x) {
  if (scheme == PackedScheme::kFp6) return nearest_fp6(x);
  return scheme == PackedScheme::kInt4 ? nearest_integer(x, -8, 7) : nearest_integer(x, -127, 127);
}

uint16_t quantize_group(PackedScheme scheme, const float* w, int64_t count, int8_t* codes) {
  float largest = 0, finite = 0;
  for (int64_t i = 0; i < count; ++i) {
    if (std::fabs(w[i]) > std::fabs(largest)) largest = w[i];
    finite += w[i] * 0;
  }
  std::fill_n(codes, count, int8_t{0});
  if (finite != 0) return nearest_bf16(std::numeric_limits<float>::quiet_NaN());  // it is NaN
  if (std::fabs(largest) < kLeastLargest) return 0;
  if (scheme == PackedScheme::kInt4) return quantize_int4(w, count, largest, codes);
  const uint16_t scale =
      bf16_away_from_zero(std::fabs(largest) / (scheme == PackedScheme::kFp6 ? 28.0f : 127.0f));
  round_group(scheme, w, count, bf16_value(scale), codes);
  return scale;
}

void put_code(PackedScheme scheme, uint8_t* panel, int64_t k, int64_t column, int8_t code) {
  const auto put = [&](cpu::Nibble at, int bits) {
    panel[at.byte] = static_cast<uint8_t>(panel[at.byte] | bits << at.shift);
  };
  switch (scheme) {
    case PackedScheme::kInt4:
      return put(cpu::int4_place(k, column), code + 8);
    case PackedScheme::kFp6: {
      const cpu::Fp6Place at = cpu::fp6_place(k, column);
      put(at.low, code & 15);
      return put(at.high, code >> 4 & 3);
    }
    default:
      panel[cpu::int8_place(k, column)] = static_cast<uint8_t>(code + 128);
  }
}

int8_t get_code(PackedScheme scheme, const uint8_t* panel, int64_t k, int64_t column) {
  const auto get = [&](cpu::Nibble at, int mask) { return panel[at.byte] >> at.shift & mask; };
  switch (scheme) {
    case PackedScheme::kInt4:
      return static_cast<int8_t>(get(cpu::int4_place(k, column), 15) - 8);
    case PackedScheme::kFp6: {
      const cpu::Fp6Place at = cpu::fp6_place(k, column);
      return static_cast<int8_t>(get(at.low, 15) | get(at.high, 3) << 4);
    }
    default:
      return static_cast<int8_t>(panel[cpu::int8_place(k, column)] - 128);
  }
}

}  // namespace deepspeed::ops
