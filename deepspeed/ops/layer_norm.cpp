#include "deepspeed/ops/layer_norm.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include <optional>

#include "deepspeed/ops/formulas.h"
#include "deepspeed/ops/isa_table.h"
#include "deepspeed/ops/kernels.h"
#include "deepspeed/ops/norm.h"

namespace deepspeed::ops {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

const cpu::NormKernels& kernels() {
  static const cpu::NormKernels& chosen = norm_kernels(chosen_isa("layer_norm"));
  return chosen;
}

struct LayerNorm : torch::autograd::Function<LayerNorm> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& x, const at::Tensor& weight,
                            const std::optional<at::Tensor>& bias, double eps) {
    const NormInputs in = norm_inputs("layer_norm", x, weight, bias.value_or(at::Tensor()), eps);
    const int64_t rows = in.x.numel() / in.x.size(-1);
    const at::Tensor mean = at::empty({rows}, in.weight.options()),
                     rstd = at::empty({rows}, in.weight.options());
    ctx->save_for_backward({in.x, weight, mean, rstd});
    if (bias) ctx->saved_data["bias_type"] = bias->scalar_type();
    return norm_forward(kernels().layer_norm, in, mean, rstd);
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& dy) {
    refuse_second_derivative("layer_norm");
    const variable_list saved = ctx->get_saved_variables();
    const auto bias_type = ctx->saved_data.find("bias_type");
    const bool has_bias = bias_type != ctx->saved_data.end();
    const NormWanted wanted{ctx->needs_input_grad(0), ctx->needs_input_grad(1),
                            has_bias && ctx->needs_input_grad(2)};
    NormGradients g =
        norm_backward(kernels().layer_norm_backward, {saved[0], saved[1], saved[2], saved[3]}, dy[0], wanted);
    if (wanted.weight) g.weight = g.weight.to(saved[1].scalar_type());
    if (wanted.bias) g.bias = g.bias.to(bias_type->second.toScalarType());
    return {g.x, g.weight, g.bias, at::Tensor()};
  }
};

}  // namespace

at::Tensor layer_norm(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias, double eps) {
  if (x.defined() && x.is_cuda()) return formula::layer_norm(x, weight, bias, eps);
  if (wants_grad({x, weight, bias})) {
    // autograd takes an absent optional, but not an undefined tensor.
    return LayerNorm::apply(x, weight, bias.defined() ? std::optional(bias) : std::nullopt, eps);
  }
  return norm_forward(kernels().layer_norm, norm_inputs("layer_norm", x, weight, bias, eps), {}, {});
}

}  // namespace deepspeed::ops
