// Numbers to codes and back, group by group, and where a code lies in a panel: what PackedWeight is made of.
// Torch-free.
#pragma once

#include <cstdint>

#include "deepspeed/ops/cpu/packed_format.h"

namespace deepspeed::ops {

/// The group's scale, as bf16, and its codes: q, or the six bits of an e3m2 number.
uint16_t quantize_group(cpu::PackedScheme scheme, const float* w, int64_t count, int8_t* codes);

/// What a code stands for, without its scale.
float code_value(cpu::PackedScheme scheme, int8_t code);

/// The code nearest to x, which lies within the scheme's range.
int8_t nearest_code(cpu::PackedScheme scheme, float x);

/// Number k of a column of a panel, whose bytes were all zero before the first was written.
void put_code(cpu::PackedScheme scheme, uint8_t* panel, int64_t k, int64_t column, int8_t code);
int8_t get_code(cpu::PackedScheme scheme, const uint8_t* panel, int64_t k, int64_t column);

float bf16_value(uint16_t bits);
uint16_t nearest_bf16(float x);

}  // namespace deepspeed::ops
