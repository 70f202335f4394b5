// Rounding of a weight that makes up for its own errors, by what its inputs look like.
#pragma once

#include <ATen/core/Tensor.h>

#include "deepspeed/ops/packed_weight.h"

namespace deepspeed::ops {

/// GPTQ (Frantar et al., 2022): codes of a weight [out, in], fp32 on the CPU, for PackedWeight::from_codes.
/// Column by column, what rounding one costs the outputs is made up for, as far as inputs go together, by the
/// columns that are still to be rounded. `moments` [in, in], fp32 or fp64: the sum of x x^T over the inputs x
/// [in] that the layer was seen with; inputs that were always zero are rounded for themselves. Scales and
/// shifts of groups are chosen as packing chooses them, of asymmetric ones with errors weighed by what they
/// cost. On the compute threads; takes about four matrices [in, in] of fp64. Errors: shapes that do not fit,
/// a scheme without codes, moments that are not finite.
WeightCodes gptq_codes(const at::Tensor& weight, const at::Tensor& moments, const PackOptions& options);

}  // namespace deepspeed::ops
