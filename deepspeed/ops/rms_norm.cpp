#include "deepspeed/ops/rms_norm.h"

#include <ATen/ATen.h>
#include <c10/core/DeviceGuard.h>
#include <torch/csrc/autograd/custom_function.h>

#include "deepspeed/accel/native_device.h"
#include "deepspeed/base/error.h"
#include "deepspeed/ops/device_kernels.h"
#include "deepspeed/ops/formulas.h"
#include "deepspeed/ops/isa_table.h"
#include "deepspeed/ops/kernels.h"
#include "deepspeed/ops/norm.h"

namespace deepspeed::ops {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

const cpu::NormKernels& kernels() {
  static const cpu::NormKernels& chosen = norm_kernels(chosen_isa("rms_norm"));
  return chosen;
}

// The weight as the kernels multiply by it.
NormInputs inputs(const at::Tensor& x, const at::Tensor& weight, double eps, RmsWeight kind) {
  return norm_inputs("rms_norm", x, weight, {}, eps, kind == RmsWeight::kFromOne ? 1 : 0);
}

NormForwardKernel forward_kernel(RmsWeight kind) {
  return kind == RmsWeight::kPlain ? kernels().rms_norm : kernels().rms_norm_wide;
}

struct RmsNorm : torch::autograd::Function<RmsNorm> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& x, const at::Tensor& weight, double eps,
                            RmsWeight kind) {
    const NormInputs in = inputs(x, weight, eps, kind);
    const at::Tensor rstd = at::empty({in.x.numel() / in.x.size(-1)}, in.weight.options());
    ctx->save_for_backward({in.x, weight, rstd});
    ctx->saved_data["kind"] = static_cast<int64_t>(kind);
    return norm_forward(forward_kernel(kind), in, {}, rstd);
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& dy) {
    refuse_second_derivative("rms_norm");
    const variable_list saved = ctx->get_saved_variables();
    const NormWanted wanted{ctx->needs_input_grad(0), ctx->needs_input_grad(1), false};
    const bool plain = ctx->saved_data["kind"].toInt() == static_cast<int64_t>(RmsWeight::kPlain);
    const at::Tensor weight = plain ? saved[1] : as_fp32(saved[1]) + 1;
    NormGradients g = norm_backward(plain ? kernels().rms_norm_backward : kernels().rms_norm_wide_backward,
                                    {saved[0], weight, {}, saved[2]}, dy[0], wanted);
    if (wanted.weight) g.weight = g.weight.to(saved[1].scalar_type());
    return {g.x, g.weight, at::Tensor(), at::Tensor()};
  }
};

at::Tensor forward_on_gpu(const at::Tensor& x, const at::Tensor& weight, double eps, RmsWeight kind) {
  DS_CHECK(weight.device() == x.device() && x.dim() > 0 && weight.sizes() == x.sizes().slice(x.dim() - 1),
           "rms_norm: the weight must be on {}, one number for each of x's last dimension", x.device().str());
  const at::Tensor from = x.contiguous(), factor = weight.contiguous();
  const at::Tensor y = at::empty_like(from, from.options().requires_grad(false));
  const c10::DeviceGuard on(x.device());
  const int64_t width = x.size(-1);
  cuda::rms_norm({.x = from.const_data_ptr(),
                  .weight = factor.const_data_ptr(),
                  .y = y.data_ptr(),
                  .type = element_of("rms_norm", "x", from),
                  .weight_type = element_of("rms_norm", "weight", factor),
                  .rows = width == 0 ? 0 : from.numel() / width,
                  .width = width,
                  .eps = static_cast<float>(eps),
                  .from_one = kind == RmsWeight::kFromOne},
                 accel::native_stream(x.device()));
  return y;
}

// As in swiglu.cpp: the formula's gradients.
struct RmsNormOnGpu : torch::autograd::Function<RmsNormOnGpu> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& x, const at::Tensor& weight, double eps,
                            RmsWeight kind) {
    ctx->save_for_backward({x, weight});
    ctx->saved_data["eps"] = eps;
    ctx->saved_data["kind"] = static_cast<int64_t>(kind);
    return forward_on_gpu(x, weight, eps, kind);
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& dy) {
    refuse_second_derivative("rms_norm");
    const auto kind = static_cast<RmsWeight>(ctx->saved_data["kind"].toInt());
    const double eps = ctx->saved_data["eps"].toDouble();
    variable_list grads = formula::gradients(ctx->get_saved_variables(), dy[0], [&](const variable_list& in) {
      return formula::rms_norm(in[0], in[1], eps, kind);
    });
    return {grads[0], grads[1], at::Tensor(), at::Tensor()};
  }
};

}  // namespace

at::Tensor rms_norm(const at::Tensor& x, const at::Tensor& weight, double eps, RmsWeight kind) {
  if (x.defined() && x.is_cuda())
    return wants_grad({x, weight}) ? RmsNormOnGpu::apply(x, weight, eps, kind)
                                   : forward_on_gpu(x, weight, eps, kind);
  if (wants_grad({x, weight})) return RmsNorm::apply(x, weight, eps, kind);
  return norm_forward(forward_kernel(kind), inputs(x, weight, eps, kind), {}, {});
}

}  // namespace deepspeed::ops
