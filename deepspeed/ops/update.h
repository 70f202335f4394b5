// What the optimizers' kernels share above raw pointers: whose arithmetic, the checks, the threads.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/util/FunctionRef.h>

#include <array>
#include <cstdint>

#include "deepspeed/ops/cpu/update_kernel.h"

namespace deepspeed::ops {

/// Whose order of operations an update repeats. DeepSpeed changes it with optimizer offload.
enum class UpdateOrder {
  kFused,  // FusedAdam and FusedLion (their CUDA kernels), torch.optim.Adagrad
  kCpu,    // DeepSpeedCPUAdam, DeepSpeedCPUAdagrad, DeepSpeedCPULion
};

/// The tensors of one update: contiguous CPU tensors of one number of elements, which do not overlap.
///   param   fp32, bf16 or fp16
///   grad    fp32, bf16 or fp16
///   states  all fp32, or all of param's format, or bf16 beside an fp32 param
///   low_precision_copy  undefined, or bf16 or fp16 beside an fp32 param: receives the new parameter
/// The arithmetic is fp32, results are rounded to nearest even; a step is computed from states that have not
/// been rounded yet.
struct UpdateTensors {
  struct State {
    const char* name = nullptr;  // for errors; null: the rule has one state only
    at::Tensor tensor;
  };
  const char* op;
  at::Tensor param, grad;
  std::array<State, 2> states;
  at::Tensor low_precision_copy;
};

/// Checks everything above (base::Error names op and tensor) and calls body(buffers, begin, end) on threads
/// for ranges that together are all elements; not at all where there are none.
void run_update(const UpdateTensors& tensors,
                c10::function_ref<void(const cpu::UpdateBuffers&, int64_t begin, int64_t end)> body);

}  // namespace deepspeed::ops
