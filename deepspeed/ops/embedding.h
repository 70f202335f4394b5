// Rows of a table by index.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace deepspeed::ops {

/// How the gradient of a table is given. kDense: [V, C]. kRows: a sparse tensor of the rows that were looked
/// up, each once, for tables whose dense gradient comes from another use (tied output weights). Where that is
/// linear_cross_entropy, the rows are added to its gradient in place and autograd gets none.
enum class TableGradient { kDense, kRows };

/// weight [V, C] (fp32, bf16 or fp16, CPU), ids int64 of any shape, each in [0, V) -> [..., C]. The row
/// `padding`, if not negative, gets no gradient. Rows that are looked up several times sum their gradients in
/// the order of the ids, in weight's type, as ATen does. Differentiable once. Errors: base::Error naming an
/// id that is outside.
at::Tensor embedding(const at::Tensor& weight, const at::Tensor& ids, int64_t padding = -1,
                     TableGradient gradient = TableGradient::kDense);

}  // namespace deepspeed::ops
