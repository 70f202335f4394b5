#include "deepspeed/ops/swiglu.h"

#include <ATen/ATen.h>
#include <c10/core/DeviceGuard.h>
#include <torch/csrc/autograd/custom_function.h>

#include "deepspeed/accel/native_device.h"
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

at::Tensor gated_on_gpu(Gate kind, const at::Tensor& gate, const at::Tensor& up) {
  const at::Tensor y = at::empty_like(gate, gate.options().requires_grad(false));
  const c10::DeviceGuard on(gate.device());
  cuda::gated(
      {.gate = gate.const_data_ptr(),
       .up = up.const_data_ptr(),
       .y = y.data_ptr(),
       .type = element_of(name_of(kind), "gate", gate),
       .numel = gate.numel(),
       .activation = kind == Gate::kSilu ? cpu::PackedActivation::kSilu : cpu::PackedActivation::kGeluTanh},
      accel::native_stream(gate.device()));
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

// Their gradients are those of the formula. The kernel runs whether they are wanted or not: what is
// recomputed has the same bits.
struct GatedOnGpu : torch::autograd::Function<GatedOnGpu> {
  static at::Tensor forward(AutogradContext* ctx, Gate kind, const at::Tensor& gate, const at::Tensor& up) {
    ctx->save_for_backward({gate, up});
    ctx->saved_data["kind"] = static_cast<int64_t>(kind);
    return gated_on_gpu(kind, gate.contiguous(), up.contiguous());
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& dy) {
    const auto kind = static_cast<Gate>(ctx->saved_data["kind"].toInt());
    refuse_second_derivative(name_of(kind));
    variable_list grads = formula::gradients(ctx->get_saved_variables(), dy[0], [&](const variable_list& in) {
      return kind == Gate::kSilu ? formula::swiglu(in[0], in[1]) : formula::geglu(in[0], in[1]);
    });
    return {at::Tensor(), grads[0], grads[1]};
  }
};

at::Tensor gated(Gate kind, const at::Tensor& gate, const at::Tensor& up) {
  const char* op = name_of(kind);
  element_of(op, "gate", gate);
  element_of(op, "up", up);
  DS_CHECK(
      gate.sizes() == up.sizes() && gate.scalar_type() == up.scalar_type() && gate.device() == up.device(),
      "{}: gate is [{}] of {} on {}, up is [{}] of {} on {}; they must be alike", op,
      fmt::join(gate.sizes(), ", "), c10::toString(gate.scalar_type()), gate.device().str(),
      fmt::join(up.sizes(), ", "), c10::toString(up.scalar_type()), up.device().str());
  if (gate.is_cuda())
    return wants_grad({gate, up}) ? GatedOnGpu::apply(kind, gate, up)
                                  : gated_on_gpu(kind, gate.contiguous(), up.contiguous());
  checked_element(op, "gate", gate);
  checked_element(op, "up", up);
  return wants_grad({gate, up}) ? Gated::apply(kind, gate, up)
                                : gated_of(kind, gate.contiguous(), up.contiguous());
}

}  // namespace

at::Tensor swiglu(const at::Tensor& gate, const at::Tensor& up) { return gated(Gate::kSilu, gate, up); }
at::Tensor geglu(const at::Tensor& gate, const at::Tensor& up) { return gated(Gate::kGeluTanh, gate, up); }

}  // namespace deepspeed::ops
