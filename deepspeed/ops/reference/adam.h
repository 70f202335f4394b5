// The obvious Adam that ops/adam.h is tested against.
#pragma once

#include "deepspeed/ops/adam.h"

namespace deepspeed::ops::reference {

/// The contract of ops::adam_step, element by element in fp64 with tensors of any strides.
void adam_step(const at::Tensor& param, const at::Tensor& grad, const at::Tensor& exp_avg,
               const at::Tensor& exp_avg_sq, const AdamArgs& args, const at::Tensor& low_precision_copy = {});

}  // namespace deepspeed::ops::reference
