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

using cpu::Gate;

const char* name_of(Gate kind) { return kind == Gate::kSilu ? "swiglu" : "geglu"; }

at::Tensor gated_of(Gate kind, const at::Tensor& gate, const at::Tensor& up) {
  at::Tensor y = at::empty_like(gate);
  for_elements(kernels().gated,
               {checked_element(name_of(kind), "gate", gate), kind, gate.const_data_ptr(),
                up.const_data_ptr(), y.data_ptr()},
               gate.numel());
  return y;
}

struct Gated : torch::autograd::Function<Gated> {
  static at::Tensor forward(AutogradContext* ctx, Gate kind, const at::Tensor& gate, const at::Tensor& up) {
    const at::Tensor g = gate.contiguous(), u = up.contiguous();
    ctx->save_for_backward({g, u});
    ctx->saved_data["kind"] = static_cast<int64_t>(kind);
    return gated_of(kind, g, u);
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& dy) {
    const auto kind = static_cast<Gate>(ctx->saved_data["kind"].toInt());
    refuse_second_derivative(name_of(kind));
    const variable_list saved = ctx->get_saved_variables();
    const at::Tensor &gate = saved[0], &up = saved[1];
    const at::Tensor upstream = dy[0].to(gate.scalar_type()).contiguous();
    at::Tensor dgate, dup;
    // Inputs are counted among the tensors given.
    if (ctx->needs_input_grad(0)) dgate = at::empty_like(gate);
    if (ctx->needs_input_grad(1)) dup = at::empty_like(up);
    for_elements(kernels().gated_backward,
                 {checked_element(name_of(kind), "gate", gate), kind, gate.const_data_ptr(),
                  up.const_data_ptr(), upstream.const_data_ptr(),
                  dgate.defined() ? dgate.data_ptr() : nullptr, dup.defined() ? dup.data_ptr() : nullptr},
                 gate.numel());
    return {at::Tensor(), dgate, dup};
  }
};

at::Tensor gated(Gate kind, const at::Tensor& gate, const at::Tensor& up) {
  const char* op = name_of(kind);
  element_of(op, "gate", gate);
  element_of(op, "up", up);
  DS_CHECK(gate.sizes() == up.sizes() && gate.scalar_type() == up.scalar_type(),
           "{}: gate is [{}] of {}, up is [{}] of {}; they must be alike", op, fmt::join(gate.sizes(), ", "),
           c10::toString(gate.scalar_type()), fmt::join(up.sizes(), ", "), c10::toString(up.scalar_type()));
  if (gate.is_cuda() && up.is_cuda())
    return kind == Gate::kSilu ? formula::swiglu(gate, up) : formula::geglu(gate, up);
  checked_element(op, "gate", gate);
  checked_element(op, "up", up);
  return wants_grad({gate, up}) ? Gated::apply(kind, gate, up)
                                : gated_of(kind, gate.contiguous(), up.contiguous());
}

}  // namespace

at::Tensor swiglu(const at::Tensor& gate, const at::Tensor& up) { return gated(Gate::kSilu, gate, up); }
at::Tensor geglu(const at::Tensor& gate, const at::Tensor& up) { return gated(Gate::kGeluTanh, gate, up); }

}  // namespace deepspeed::ops
