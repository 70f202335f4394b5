// One block of numbers into few bits and back, once per instruction set. Torch-free.
#pragma once

#include <cstdint>

#include "deepspeed/base/cpu_features.h"
#include "deepspeed/ops/cpu/element.h"

namespace deepspeed::ops::cpu {

/// Codes of 16 * (8 / bits) elements lie in 16 bytes: byte j has element j in its lowest bits, element 16 + j
/// above it, and so on. A last group that is not full is padded.
inline constexpr int64_t kCodedGroup = 16;

struct CodeFormat {
  int bits;  // 8, 4, 2
  bool symmetric;
};

/// codes, and the step or step and minimum, of x[n], n > 0.
using QuantizeKernel = void (*)(const void* x, Element element, int64_t n, CodeFormat format, uint8_t* codes,
                                float* parameters);

struct CodedBlock {
  const uint8_t* codes;
  const float* parameters;
};

/// y[n] = the sum of blocks[count], count > 0.
using DequantizeKernel = void (*)(const CodedBlock* blocks, int64_t count, int64_t n, CodeFormat format,
                                  void* y, Element element);

struct BlockQuantizeKernels {
  QuantizeKernel quantize;
  DequantizeKernel dequantize;
};

BlockQuantizeKernels block_quantize_scalar();
BlockQuantizeKernels block_quantize_avx2();
BlockQuantizeKernels block_quantize_avx512();

/// The kernels of an instruction set, or of the best one below it that there are some for.
BlockQuantizeKernels block_quantize_kernels(base::Isa isa);

}  // namespace deepspeed::ops::cpu
