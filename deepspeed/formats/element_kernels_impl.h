// Decoding of tensors' elements, compiled once for each instruction set: plain loops that the compiler
// vectorizes. Everything is local to the source that includes it. Used by element_kernels_*.cpp; raw pointers
// only.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "deepspeed/formats/element_kernels.h"

namespace deepspeed::formats {
namespace {

template <class T>
T load(const void* at) {
  T value;
  std::memcpy(&value, at, sizeof value);
  return value;
}

// Without branches, and right where subnormal numbers count as zero.
float half_to_float(uint16_t half) {
  const uint32_t sign = (half & 0x8000u) << 16, magnitude = half & 0x7fffu;
  const uint32_t subnormal =
      std::bit_cast<uint32_t>(std::bit_cast<float>(magnitude | 0x3f000000u) - 0.5f);  // magnitude * 2^-24
  const uint32_t normal = (magnitude << 13) + (112u << 23);
  const uint32_t special = (magnitude << 13) | 0x7f800000u;
  const uint32_t bits = magnitude < 0x400 ? subnormal : magnitude < 0x7c00 ? normal : special;
  return std::bit_cast<float>(sign | bits);
}

float load_half(const uint8_t* at) { return half_to_float(load<uint16_t>(at)); }

// Nibble j of 16 bytes is element j, its other nibble element j + 16.
void decode_q4_0(const uint8_t* block, float* out) {
  const float scale = load_half(block);
  const uint8_t* nibbles = block + 2;
  for (int j = 0; j < 16; ++j) {
    out[j] = scale * static_cast<float>((nibbles[j] & 15) - 8);
    out[j + 16] = scale * static_cast<float>((nibbles[j] >> 4) - 8);
  }
}

// As Q4_0, with a fifth bit of each element in one word.
void decode_q5_0(const uint8_t* block, float* out) {
  const float scale = load_half(block);
  const auto fifth = load<uint32_t>(block + 2);
  const uint8_t* nibbles = block + 6;
  for (uint32_t j = 0; j < 16; ++j) {
    const uint32_t low = (nibbles[j] & 15u) | ((fifth >> j & 1u) << 4);
    const uint32_t high = (nibbles[j] >> 4) | ((fifth >> (j + 16) & 1u) << 4);
    out[j] = scale * static_cast<float>(static_cast<int>(low) - 16);
    out[j + 16] = scale * static_cast<float>(static_cast<int>(high) - 16);
  }
}

void decode_q8_0(const uint8_t* block, float* out) {
  const float scale = load_half(block);
  for (int j = 0; j < 32; ++j) out[j] = static_cast<float>(static_cast<int8_t>(block[2 + j])) * scale;
}

struct ScaleAndMinimum {
  float scale, minimum;
};

struct Groups {
  ScaleAndMinimum at[8];
};

// The eight 6-bit scales and minima of Q4_K and Q5_K in 12 bytes: those of the first four groups lie in the
// low six bits of bytes 0-3 and 4-7, whose upper two bits belong to the last four groups, with their nibbles
// in bytes 8-11.
Groups group_scales(const uint8_t* block) {
  const float scale = load_half(block), minimum = load_half(block + 2);
  const uint8_t* packed = block + 4;
  Groups groups;
  for (int j = 0; j < 4; ++j) {
    const int scale_high = (packed[8 + j] & 15) | ((packed[j] >> 6) << 4);
    const int minimum_high = (packed[8 + j] >> 4) | ((packed[4 + j] >> 6) << 4);
    groups.at[j] = {scale * static_cast<float>(packed[j] & 63),
                    minimum * static_cast<float>(packed[4 + j] & 63)};
    groups.at[j + 4] = {scale * static_cast<float>(scale_high), minimum * static_cast<float>(minimum_high)};
  }
  return groups;
}

// 32 bytes hold two groups: the low nibbles are the first, the high ones the second.
void decode_q4_k(const uint8_t* block, float* out) {
  const Groups groups = group_scales(block);
  const uint8_t* nibbles = block + 16;
  for (size_t pair = 0; pair < 4; ++pair, nibbles += 32, out += 64) {
    const ScaleAndMinimum low = groups.at[2 * pair], high = groups.at[2 * pair + 1];
    for (int j = 0; j < 32; ++j) {
      out[j] = low.scale * static_cast<float>(nibbles[j] & 15) - low.minimum;
      out[j + 32] = high.scale * static_cast<float>(nibbles[j] >> 4) - high.minimum;
    }
  }
}

// As Q4_K; bit g of byte j of the first 32 is the fifth bit of element j of group g.
void decode_q5_k(const uint8_t* block, float* out) {
  const Groups groups = group_scales(block);
  const uint8_t *fifth = block + 16, *nibbles = block + 48;
  for (size_t pair = 0; pair < 4; ++pair, nibbles += 32, out += 64) {
    const ScaleAndMinimum low = groups.at[2 * pair], high = groups.at[2 * pair + 1];
    for (int j = 0; j < 32; ++j) {
      const int first = (nibbles[j] & 15) | ((fifth[j] >> (2 * pair) & 1) << 4);
      const int second = (nibbles[j] >> 4) | ((fifth[j] >> (2 * pair + 1) & 1) << 4);
      out[j] = low.scale * static_cast<float>(first) - low.minimum;
      out[j + 32] = high.scale * static_cast<float>(second) - high.minimum;
    }
  }
}

// 16 groups of 16 with a signed scale each. For each half of 128: 64 bytes of nibbles and 32 bytes of two
// more bits; elements j, j + 32, j + 64 and j + 96 take the nibbles of bytes j and j + 32, low before high,
// and the four pairs of bits of byte j.
void decode_q6_k(const uint8_t* block, float* out) {
  const uint8_t *nibbles = block, *bits = block + 128;
  const float scale = load_half(block + 208);
  float scales[16];
  for (int g = 0; g < 16; ++g) scales[g] = scale * static_cast<float>(static_cast<int8_t>(block[192 + g]));
  for (int half = 0; half < 2; ++half, nibbles += 64, bits += 32, out += 128) {
    for (int quarter = 0; quarter < 4; ++quarter) {
      const uint8_t* from = nibbles + (quarter & 1) * 32;
      const int nibble_shift = (quarter >> 1) * 4, bit_shift = quarter * 2;
      for (int group = 0; group < 2; ++group) {
        const float s = scales[half * 8 + quarter * 2 + group];
        for (int j = group * 16; j < group * 16 + 16; ++j) {
          const int value = (from[j] >> nibble_shift & 15) | ((bits[j] >> bit_shift & 3) << 4);
          out[quarter * 32 + j] = s * static_cast<float>(value - 32);
        }
      }
    }
  }
}

template <size_t kElements, size_t kBytes, void (*Decode)(const uint8_t*, float*)>
void decode_all(const uint8_t* blocks, size_t count, float* out) {
  for (size_t i = 0; i < count; ++i) Decode(blocks + i * kBytes, out + i * kElements);
}

void halves_to_floats(const uint8_t* elements, size_t count, float* out) {
  for (size_t i = 0; i < count; ++i) out[i] = half_to_float(load<uint16_t>(elements + 2 * i));
}

void bfloat16s_to_floats(const uint8_t* elements, size_t count, float* out) {
  for (size_t i = 0; i < count; ++i)
    out[i] = std::bit_cast<float>(uint32_t{load<uint16_t>(elements + 2 * i)} << 16);
}

constexpr ElementKernels kKernels = {decode_all<32, 18, decode_q4_0>,
                                     decode_all<32, 22, decode_q5_0>,
                                     decode_all<32, 34, decode_q8_0>,
                                     decode_all<256, 144, decode_q4_k>,
                                     decode_all<256, 176, decode_q5_k>,
                                     decode_all<256, 210, decode_q6_k>,
                                     halves_to_floats,
                                     bfloat16s_to_floats};

}  // namespace
}  // namespace deepspeed::formats
