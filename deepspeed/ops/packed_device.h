// Packed weights on a GPU. Internal to ops: packed_weight.h and packed_linear.h come here.
//
// packed() is uint8 [out, bytes of a row], row after row (cuda/kernels.h, DevicePacked); packed_scales() is
// bf16 [out, groups], of asymmetric weights [2, out, groups], first the scales, then the shifts;
// packed_bias() fp32 [out].
// Of fp32 and bf16 packed() is w [out, in].
#pragma once

#include "deepspeed/ops/device_kernels.h"
#include "deepspeed/ops/packed_linear.h"

namespace deepspeed::ops {

/// [out, in] int8 as PackedWeight::codes() gives them, on the CPU -> what packed() holds.
at::Tensor device_codes(PackedScheme scheme, const at::Tensor& codes);

/// w^ [out, in] of `type`: fp32, bf16 or fp16.
at::Tensor dequantize_on_device(const PackedWeight& weight, at::ScalarType type);
/// PackedWeight::rows.
at::Tensor rows_on_device(const PackedWeight& weight, const at::Tensor& ids, at::ScalarType type);

/// cuda::round_rows of x [n, in], contiguous; scales may be undefined.
void round_rows_on_device(const at::Tensor& x, int64_t group, cuda::RoundTo to, const at::Tensor& out,
                          const at::Tensor& scales);

/// packed_linear of checked arguments.
at::Tensor packed_linear_on_device(const at::Tensor& x, const PackedWeight& weight,
                                   const PackedEpilogue& epilogue);

}  // namespace deepspeed::ops
