#include "deepspeed/ops/adam.h"

#include <c10/core/DeviceGuard.h>

#include <cmath>

#include "deepspeed/accel/native_device.h"
#include "deepspeed/base/error.h"
#include "deepspeed/ops/cpu/adam_kernel.h"
#include "deepspeed/ops/device_kernels.h"
#include "deepspeed/ops/isa_table.h"

namespace deepspeed::ops {
namespace {

// In fp32 step by step where DeepSpeed's are: 1 - beta differs from the exact number by up to 1e-5 of it.
cpu::AdamConstants fold(const AdamArgs& a) {
  const bool fused = a.order == UpdateOrder::kFused;
  const auto lr = static_cast<float>(a.lr), weight_decay = static_cast<float>(a.weight_decay);
  cpu::AdamConstants c{};
  c.fused = fused;
  c.decay = weight_decay == 0 ? cpu::AdamDecay::kNone
            : a.adamw         ? cpu::AdamDecay::kDecoupled
                              : cpu::AdamDecay::kL2;
  c.grad_scale = static_cast<float>(a.grad_scale);
  c.beta1 = static_cast<float>(a.beta1);
  c.one_minus_beta1 = 1 - c.beta1;
  c.beta2 = static_cast<float>(a.beta2);
  c.one_minus_beta2 = 1 - c.beta2;
  c.eps = static_cast<float>(a.eps);
  c.weight_decay = fused || !a.adamw ? weight_decay : -lr * weight_decay;
  const auto steps = static_cast<double>(a.step);
  const double power1 = std::pow(double{c.beta1}, steps), power2 = std::pow(double{c.beta2}, steps);
  float bc1 = 1;
  c.correction2 = 1;
  if (a.bias_correction && fused) {
    bc1 = static_cast<float>(1 - power1);
    c.correction2 = 1 / static_cast<float>(1 - power2);
  } else if (a.bias_correction) {
    bc1 = 1 - static_cast<float>(power1);
    c.correction2 = 1 / std::sqrt(1 - static_cast<float>(power2));
  }
  c.correction1 = 1 / bc1;
  c.step_size = fused ? -lr : -lr / bc1;
  return c;
}

}  // namespace

void adam_step(const at::Tensor& param, const at::Tensor& grad, const at::Tensor& exp_avg,
               const at::Tensor& exp_avg_sq, const AdamArgs& args, const at::Tensor& low_precision_copy) {
  DS_CHECK(!args.bias_correction || args.step >= 1, "adam_step: step must be at least 1, it is {}",
           args.step);
  static const auto kernel = cpu::adam_kernel(chosen_isa("adam"));
  const cpu::AdamConstants constants = fold(args);
  const UpdateTensors tensors{
      "adam_step", param, grad, {{{"exp_avg", exp_avg}, {"exp_avg_sq", exp_avg_sq}}}, low_precision_copy};
  if (param.defined() && param.is_cuda() && constants.fused) {
    const c10::DeviceGuard on(param.device());
    return cuda::adam_step(checked_buffers(tensors), param.numel(), constants,
                           accel::native_stream(param.device()));
  }
  run_update(tensors, [&](const cpu::UpdateBuffers& b, int64_t begin, int64_t end) {
    kernel(b, begin, end, constants);
  });
}

}  // namespace deepspeed::ops
