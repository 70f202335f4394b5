#include "deepspeed/ops/adagrad.h"

#include "deepspeed/base/error.h"
#include "deepspeed/ops/cpu/adagrad_kernel.h"
#include "deepspeed/ops/device_kernels.h"
#include "deepspeed/ops/formulas.h"
#include "deepspeed/ops/isa_table.h"

namespace deepspeed::ops {

void adagrad_step(const at::Tensor& param, const at::Tensor& grad, const at::Tensor& sum,
                  const AdagradArgs& args, const at::Tensor& low_precision_copy) {
  DS_CHECK(args.step >= 1, "adagrad_step: step must be at least 1, it is {}", args.step);
  static const auto kernel = cpu::adagrad_kernel(chosen_isa("adagrad"));
  const double lr = args.lr / (1 + static_cast<double>(args.step - 1) * args.lr_decay);
  const cpu::AdagradConstants constants{.fused = args.order == UpdateOrder::kFused,
                                        .decay = args.weight_decay != 0,
                                        .grad_scale = static_cast<float>(args.grad_scale),
                                        .weight_decay = static_cast<float>(args.weight_decay),
                                        .eps = static_cast<float>(args.eps),
                                        .step_size = static_cast<float>(-lr)};
  const UpdateTensors tensors{"adagrad_step", param, grad, {{{"sum", sum}}}, low_precision_copy};
  if (param.defined() && param.is_cuda()) {
    checked_buffers(tensors);
    return formula::adagrad_step(param, grad, sum, args, low_precision_copy);
  }
  run_update(tensors, [&](const cpu::UpdateBuffers& b, int64_t begin, int64_t end) {
    kernel(b, begin, end, constants);
  });
}

}  // namespace deepspeed::ops
