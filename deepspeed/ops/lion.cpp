#include "deepspeed/ops/lion.h"

#include "deepspeed/ops/cpu/lion_kernel.h"
#include "deepspeed/ops/device_kernels.h"
#include "deepspeed/ops/formulas.h"
#include "deepspeed/ops/isa_table.h"

namespace deepspeed::ops {

void lion_step(const at::Tensor& param, const at::Tensor& grad, const at::Tensor& exp_avg,
               const LionArgs& args, const at::Tensor& low_precision_copy) {
  static const auto kernel = cpu::lion_kernel(chosen_isa("lion"));
  const auto beta1 = static_cast<float>(args.beta1), beta2 = static_cast<float>(args.beta2);
  const auto lr = static_cast<float>(args.lr);
  const cpu::LionConstants constants{.fused = args.order == UpdateOrder::kFused,
                                     .grad_scale = static_cast<float>(args.grad_scale),
                                     .beta1 = beta1,
                                     .one_minus_beta1 = 1 - beta1,
                                     .beta2 = beta2,
                                     .one_minus_beta2 = 1 - beta2,
                                     .keep = 1 - lr * static_cast<float>(args.weight_decay),
                                     .lr = lr};
  const UpdateTensors tensors{"lion_step", param, grad, {{{"exp_avg", exp_avg}}}, low_precision_copy};
  if (param.defined() && param.is_cuda()) {
    checked_buffers(tensors);
    return formula::lion_step(param, grad, exp_avg, args, low_precision_copy);
  }
  run_update(tensors, [&](const cpu::UpdateBuffers& b, int64_t begin, int64_t end) {
    kernel(b, begin, end, constants);
  });
}

}  // namespace deepspeed::ops
