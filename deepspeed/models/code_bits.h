// Codes of quantized weights as files hold them: in as few bits as they need.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace deepspeed::models {

/// codes [out, in] int8 of 8 bits: themselves. Of 4 (q + 8) and of 6 bits: uint8 [out, ceil(bits in / 8)],
/// each row's one after the other from the lowest bit on.
at::Tensor to_bits(const at::Tensor& codes, int64_t bits);
/// And back to [out, in].
at::Tensor from_bits(const at::Tensor& stored, int64_t bits, int64_t in);

}  // namespace deepspeed::models
