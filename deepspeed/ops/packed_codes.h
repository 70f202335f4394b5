// Numbers to codes and back, group by group, and where a code lies in a panel: what PackedWeight is made of.
// Torch-free.
#pragma once

#include <bit>
#include <cstdint>

#include "deepspeed/ops/cpu/packed_format.h"

namespace deepspeed::ops {

/// What a group's numbers share, as bf16: w^ = value of the code * scale + shift.
struct GroupScale {
  uint16_t scale = 0, shift = 0;
};

/// The group's scale and its codes: q, or the six bits of an e3m2 number. `asymmetric`: with a shift. With 4
/// bits that and the scale are then sought by least squares, of errors that count importance[i] times each
/// (null: once); with 8 they are the range's even steps, or those of a somewhat other range.
GroupScale quantize_group(cpu::PackedScheme scheme, bool asymmetric, const float* w, int64_t count,
                          int8_t* codes, const float* importance = nullptr);

/// What a code stands for, without its scale.
float code_value(cpu::PackedScheme scheme, int8_t code);

/// The code nearest to x; the range's last one for what lies beyond it.
int8_t nearest_code(cpu::PackedScheme scheme, float x);

/// A column of a panel is this many 32-bit words, of which a panel holds those of its 16 columns in turn.
int64_t column_words(const cpu::PackedFormat& format);
/// The words of a column whose padded_in() codes these are, of a quantized scheme.
void write_column(cpu::PackedScheme scheme, const int8_t* codes, int64_t padded_in, uint32_t* words);
/// A panel of 16 columns, [16][words].
void interleave_columns(const uint32_t* columns, int64_t words, uint8_t* panel);
/// Number k of a column of a panel.
int8_t get_code(cpu::PackedScheme scheme, const uint8_t* panel, int64_t k, int64_t column);

inline float bf16_value(uint16_t bits) { return std::bit_cast<float>(uint32_t{bits} << 16); }

inline uint16_t nearest_bf16(float x) {
  const auto bits = std::bit_cast<uint32_t>(x);
  const uint32_t rounded = (bits + 0x7FFF + (bits >> 16 & 1)) >> 16, nan = bits >> 16 | 0x40;
  return static_cast<uint16_t>((bits & 0x7FFFFFFF) > 0x7F800000 ? nan : rounded);
}

void round_to_bf16(const float* from, int64_t count, uint16_t* to);

}  // namespace deepspeed::ops
