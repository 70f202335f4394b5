// Tensors in the few bits in which they travel under ZeRO++ (ops/block_quantize.h).
#pragma once

#include <ATen/core/Tensor.h>

#include <span>

#include "deepspeed/ops/block_quantize.h"

namespace deepspeed::zero {

/// Parameters (qwZ), 0.2 % of the bytes being scales. DeepSpeed's CUDAQuantizer (runtime/zero/
/// partition_parameters.py) looks for 4,000 to 16,000 elements that divide the tensor.
inline constexpr ops::BlockCode kWeightCode{.bits = 8, .symmetric = true, .block = 2048};

/// Gradients (qgZ), 1.5 % of the bytes of 4-bit ones being scales. DeepSpeed's all_to_all_quant_reduce
/// (runtime/comm/coalesced_collectives.py) has a block for each row or column, whichever are more.
constexpr ops::BlockCode gradient_code(int bits) { return {.bits = bits, .symmetric = true, .block = 512}; }

/// coded[coded_bytes(code, numel)] from contiguous values of fp32, bf16 or fp16.
void encode(const ops::BlockCode& code, const at::Tensor& values, uint8_t* coded);

/// values = the sum of what the arrays stand for.
void decode(const ops::BlockCode& code, std::span<const uint8_t* const> coded, const at::Tensor& values);

}  // namespace deepspeed::zero
