#include "deepspeed/ops/swiglu.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include "deepspeed/base/error.h"
#include "deepspeed/ops/activation.h"
#include "deepspeed/ops/device_kernels.h"
#include "deepspeed/ops/formulas.h"
#include "deepspeed/ops/isa_table.h"
#include "deepspeed/ops/kernels.h"

namespace deepspeed::ops {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

const cpu::ActivationKernels& kernels() {
  static const cpu::ActivationKernels& chosen = activation_kernels(chosen_isa("swiglu"));
  return chosen;
}

at::Tensor swiglu_of(const at::Tensor& gate, const at::Tensor& up) {
  at::Tensor y = at::empty_like(gate);
  for_elements(
      kernels().swiglu,
      {checked_element("swiglu", "gate", gate), gate.const_data_ptr(), up.const_data_ptr(), y.data_ptr()},
      gate.numel());
  return y;
}

struct Swiglu : torch::autograd::Function<Swiglu> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& gate, const at::Tensor& up) {
    const at::Tensor g = gate.contiguous(), u = up.contiguous();
    ctx->save_for_backward({g, u});
    return swiglu_of(g, u);
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& dy) {
    refuse_second_derivative("swiglu");
    const variable_list saved = ctx->get_saved_variables();
    const at::Tensor &gate = saved[0], &up = saved[1];
    const at::Tensor upstream = dy[0].to(gate.scalar_type()).contiguous();
    at::Tensor dgate, dup;
    if (ctx->needs_input_grad(0)) dgate = at::empty_like(gate);
    if (ctx->needs_input_grad(1)) dup = at::empty_like(up);
    for_elements(kernels().swiglu_backward,
                 {checked_element("swiglu", "gate", gate), gate.const_data_ptr(), up.const_data_ptr(),
                  upstream.const_data_ptr(), dgate.defined() ? dgate.data_ptr() : nullptr,
                  dup.defined() ? dup.data_ptr() : nullptr},
                 gate.numel());
    return {dgate, dup};
  }
};

}  // namespace

at::Tensor swiglu(const at::Tensor& gate, const at::Tensor& up) {
  element_of("swiglu", "gate", gate);
  element_of("swiglu", "up", up);
  DS_CHECK(gate.sizes() == up.sizes() && gate.scalar_type() == up.scalar_type(),
           "swiglu: gate is [{}] of {}, up is [{}] of {}; they must be alike", fmt::join(gate.sizes(), ", "),
           c10::toString(gate.scalar_type()), fmt::join(up.sizes(), ", "), c10::toString(up.scalar_type()));
  if (gate.is_cuda() && up.is_cuda()) return formula::swiglu(gate, up);
  checked_element("swiglu", "gate", gate);
  checked_element("swiglu", "up", up);
  return wants_grad({gate, up}) ? Swiglu::apply(gate, up) : swiglu_of(gate.contiguous(), up.contiguous());
}

}  // namespace deepspeed::ops
