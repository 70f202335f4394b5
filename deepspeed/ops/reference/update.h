// The obvious Adam, Adagrad and Lion that ops/{adam,adagrad,lion}.h are tested against: those contracts,
// tensor by tensor in fp64, with tensors of any strides.
#pragma once

#include "deepspeed/ops/adagrad.h"
#include "deepspeed/ops/adam.h"
#include "deepspeed/ops/lion.h"

namespace deepspeed::ops::reference {

void adam_step(const at::Tensor& param, const at::Tensor& grad, const at::Tensor& exp_avg,
               const at::Tensor& exp_avg_sq, const AdamArgs& args, const at::Tensor& low_precision_copy = {});
void adagrad_step(const at::Tensor& param, const at::Tensor& grad, const at::Tensor& sum,
                  const AdagradArgs& args, const at::Tensor& low_precision_copy = {});
void lion_step(const at::Tensor& param, const at::Tensor& grad, const at::Tensor& exp_avg,
               const LionArgs& args, const at::Tensor& low_precision_copy = {});

}  // namespace deepspeed::ops::reference
