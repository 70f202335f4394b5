#include "deepspeed/ops/gelu.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include "deepspeed/ops/activation.h"
#include "deepspeed/ops/formulas.h"
#include "deepspeed/ops/isa_table.h"
#include "deepspeed/ops/kernels.h"

namespace deepspeed::ops {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

const cpu::ActivationKernels& kernels() {
  static const cpu::ActivationKernels& chosen = activation_kernels(chosen_isa("gelu"));
  return chosen;
}

at::Tensor gelu_of(const at::Tensor& x, bool tanh) {
  at::Tensor y = at::empty_like(x);
  for_elements(kernels().gelu, {checked_element("gelu", "x", x), tanh, x.const_data_ptr(), y.data_ptr()},
               x.numel());
  return y;
}

struct Gelu : torch::autograd::Function<Gelu> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& x, bool tanh) {
    const at::Tensor kept = x.contiguous();
    ctx->save_for_backward({kept});
    ctx->saved_data["tanh"] = tanh;
    return gelu_of(kept, tanh);
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& dy) {
    refuse_second_derivative("gelu");
    const at::Tensor x = ctx->get_saved_variables()[0], upstream = dy[0].to(x.scalar_type()).contiguous();
    at::Tensor dx = at::empty_like(x);
    for_elements(kernels().gelu_backward,
                 {checked_element("gelu", "x", x), ctx->saved_data["tanh"].toBool(), x.const_data_ptr(),
                  upstream.const_data_ptr(), dx.data_ptr()},
                 x.numel());
    return {dx, at::Tensor()};
  }
};

}  // namespace

at::Tensor gelu(const at::Tensor& x, GeluKind kind) {
  if (x.defined() && x.is_cuda()) return formula::gelu(x, kind);
  checked_element("gelu", "x", x);
  const bool tanh = kind == GeluKind::kTanh;
  return wants_grad({x}) ? Gelu::apply(x, tanh) : gelu_of(x.contiguous(), tanh);
}

}  // namespace deepspeed::ops
