// From tensors on a GPU to our kernels there: what the ops share. Internal to ops.
#pragma once

#include <ATen/core/Tensor.h>

#include "deepspeed/ops/cuda/kernels.h"
#include "deepspeed/ops/update.h"

namespace deepspeed::ops {

/// The element type of a defined tensor of fp32, bf16 or fp16 on any device; an Error naming op and argument
/// otherwise.
cpu::Element element_of(const char* op, const char* argument, const at::Tensor& t);

/// Checks everything that run_update (update.h) does, but for tensors on param's device, which may be any.
cpu::UpdateBuffers checked_buffers(const UpdateTensors& tensors);

}  // namespace deepspeed::ops
