// Numbers in 8, 4 or 2 bits with one scale a block: what parameters and gradients travel as under ZeRO++.
// Torch-free. Source: Wang et al., "ZeRO++: Extremely Efficient Collective Communication for Giant Model
// Training" (2023), section 3; DeepSpeed's csrc/quantization.
#pragma once

#include <cstdint>
#include <span>

#include "deepspeed/ops/cpu/element.h"

namespace deepspeed::ops {

using cpu::Element;

/// Blocks count from an array's first element, the last one may be shorter.
///   symmetric   step = max|x| / (2^(bits-1) - 1), x^ = q step
///   otherwise   step = (max - min) / (2^bits - 1), x^ = min + q step
/// q is rounded to nearest, so |x - x^| <= step / 2 (and fp32's own rounding). A block whose step would be
/// below 2^-100 becomes all zeros, or all its minimum. A block that holds an infinity or a NaN becomes all
/// NaN, so that an overflow is never lost on its way.
struct BlockCode {
  int bits = 8;  // 8, 4 or 2
  bool symmetric = true;
  int64_t block = 2048;  // elements, a multiple of 64
  bool operator==(const BlockCode&) const = default;
};

/// Bytes that n numbers take: q of every 16, 32 or 64 elements in 16 bytes, then one fp32 step a block, or
/// step and minimum; a multiple of 4.
int64_t coded_bytes(const BlockCode& code, int64_t n);

/// coded[coded_bytes(code, n)], aligned to 4 bytes, from values[n]. Alike on every instruction set.
void block_quantize(const BlockCode& code, const void* values, Element element, int64_t n, uint8_t* coded);

/// values[n] = the sum of what block_quantize made of several arrays of one length, in fp32 in the order
/// given and rounded once; of one array: what it stands for.
void block_dequantize(const BlockCode& code, std::span<const uint8_t* const> coded, int64_t n, void* values,
                      Element element);

}  // namespace deepspeed::ops
