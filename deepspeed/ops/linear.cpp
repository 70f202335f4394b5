#include "deepspeed/ops/linear.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include "deepspeed/base/cpu_features.h"
#include "deepspeed/ops/kernels.h"

namespace deepspeed::ops {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

at::Tensor wide(const at::Tensor& t) { return t.to(at::kFloat); }
at::Tensor rounded(const at::Tensor& t) { return t.to(at::kBFloat16); }
at::Tensor as_rows(const at::Tensor& t) { return t.reshape({-1, t.size(-1)}); }

// bf16 tensors multiplied in fp32: weight [in, out], or its transpose.
struct WidenedLinear : torch::autograd::Function<WidenedLinear> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& x, const at::Tensor& weight,
                            const std::optional<at::Tensor>& bias, bool out_in) {
    ctx->save_for_backward({x, weight});
    ctx->saved_data["out_in"] = out_in;
    ctx->saved_data["has_bias"] = bias.has_value();
    const at::Tensor rows = wide(as_rows(x)), factor = out_in ? wide(weight).t() : wide(weight);
    auto shape = x.sizes().vec();
    shape.back() = factor.size(1);
    return rounded(bias ? at::addmm(wide(*bias), rows, factor) : at::mm(rows, factor)).view(shape);
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& upstream) {
    refuse_second_derivative("linear");
    const variable_list saved = ctx->get_saved_variables();
    const at::Tensor &x = saved[0], &weight = saved[1];
    const bool out_in = ctx->saved_data["out_in"].toBool();
    const at::Tensor dy = wide(as_rows(upstream[0]));
    variable_list gradients(4);
    if (ctx->needs_input_grad(0))
      gradients[0] = rounded(at::mm(dy, out_in ? wide(weight) : wide(weight).t())).view(x.sizes());
    if (ctx->needs_input_grad(1)) {
      const at::Tensor rows = wide(as_rows(x));
      gradients[1] = rounded(out_in ? at::mm(dy.t(), rows) : at::mm(rows.t(), dy));
    }
    // Inputs are counted among the tensors that were given.
    if (ctx->saved_data["has_bias"].toBool() && ctx->needs_input_grad(2)) gradients[2] = rounded(dy.sum(0));
    return gradients;
  }
};

bool all_bf16(const at::Tensor& x, const at::Tensor& weight, const std::optional<at::Tensor>& bias) {
  return x.scalar_type() == at::kBFloat16 && weight.scalar_type() == at::kBFloat16 &&
         (!bias || bias->scalar_type() == at::kBFloat16);
}

}  // namespace

at::Tensor linear_by_fp32_products(const at::Tensor& x, const at::Tensor& weight,
                                   const std::optional<at::Tensor>& bias, WeightOrder order) {
  return WidenedLinear::apply(x, weight, bias, order == WeightOrder::kOutIn);
}

at::Tensor linear(const at::Tensor& x, const at::Tensor& weight, const std::optional<at::Tensor>& bias,
                  WeightOrder order) {
  const bool out_in = order == WeightOrder::kOutIn;
  if (x.device().is_cpu() && !base::cpu_features().fast_bf16 && all_bf16(x, weight, bias))
    return linear_by_fp32_products(x, weight, bias, order);
  if (out_in) return at::linear(x, weight, bias);
  auto shape = x.sizes().vec();
  shape.back() = weight.size(1);
  const at::Tensor rows = as_rows(x);
  return (bias ? at::addmm(*bias, rows, weight) : at::mm(rows, weight)).view(shape);
}

}  // namespace deepspeed::ops
