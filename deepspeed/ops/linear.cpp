#include "deepspeed/ops/linear.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include "deepspeed/accel/autocast.h"
#include "deepspeed/accel/gradient_place.h"
#include "deepspeed/base/cpu_features.h"
#include "deepspeed/ops/gemm.h"
#include "deepspeed/ops/kernels.h"

namespace deepspeed::ops {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

at::Tensor as_rows(const at::Tensor& t) { return t.reshape({-1, t.size(-1)}); }

at::Tensor with_unit_stride(const at::Tensor& t) {
  return t.stride(0) == 1 || t.stride(1) == 1 ? t : t.contiguous();
}

// Whether fp32 factors are multiplied by our own kernel.
bool ours(const at::Tensor& a, const at::Tensor& b) {
  return a.scalar_type() == at::kFloat && b.scalar_type() == at::kFloat && gemm_kernel(at::kFloat) &&
         a.numel() > 0 && worth_packing(a.size(0), b.size(1));
}

// a @ b into `place`, if that is defined, plus bias [N], if that is; the factors are of one type.
at::Tensor product(const at::Tensor& a, const at::Tensor& b, at::Tensor place = {},
                   const at::Tensor& bias = {}) {
  if (ours(a, b)) {
    if (!place.defined()) place = at::empty({a.size(0), b.size(1)}, a.options());
    gemm(*gemm_kernel(at::kFloat), place, with_unit_stride(a), with_unit_stride(b),
         bias.defined() ? bias.contiguous() : bias);
    return place;
  }
  if (bias.defined()) return at::addmm(bias, a, b);
  return place.defined() ? at::mm_out(place, a, b) : at::mm(a, b);
}

// weight [in, out], or its transpose; kWiden multiplies bf16 tensors in fp32. The weight's gradient goes
// where it is collected.
template <bool kWiden>
struct Linear : torch::autograd::Function<Linear<kWiden>> {
  static at::Tensor factor(const at::Tensor& t) { return kWiden ? t.to(at::kFloat) : t; }
  static at::Tensor result(const at::Tensor& t) { return kWiden ? t.to(at::kBFloat16) : t; }

  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& x, const at::Tensor& weight,
                            const std::optional<at::Tensor>& bias, bool out_in) {
    ctx->save_for_backward({x, weight});
    ctx->saved_data["out_in"] = out_in;
    ctx->saved_data["has_bias"] = bias.has_value();
    const at::Tensor rows = factor(as_rows(x)), in_out = out_in ? factor(weight).t() : factor(weight);
    auto shape = x.sizes().vec();
    shape.back() = in_out.size(1);
    return result(product(rows, in_out, {}, bias ? factor(*bias) : at::Tensor())).view(shape);
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& upstream) {
    refuse_second_derivative("linear");
    const variable_list saved = ctx->get_saved_variables();
    const at::Tensor &x = saved[0], &weight = saved[1];
    const bool out_in = ctx->saved_data["out_in"].toBool();
    const at::Tensor dy = factor(as_rows(upstream[0]));
    variable_list gradients(4);
    if (ctx->needs_input_grad(0))
      gradients[0] = result(product(dy, out_in ? factor(weight) : factor(weight).t())).view(x.sizes());
    if (ctx->needs_input_grad(1)) {
      const at::Tensor rows = factor(as_rows(x));
      gradients[1] = out_in ? collected(dy.t(), rows, weight) : collected(rows.t(), dy, weight);
    }
    // Inputs are counted among the tensors that were given.
    if (ctx->saved_data["has_bias"].toBool() && ctx->needs_input_grad(2)) gradients[2] = result(dy.sum(0));
    return gradients;
  }

  static at::Tensor collected(const at::Tensor& a, const at::Tensor& b, const at::Tensor& weight) {
    at::Tensor place = accel::gradient_place(weight);
    if (!kWiden) return product(a, b, place);
    return place.defined() ? place.copy_(product(a, b)) : result(product(a, b));
  }
};

bool all_are(at::ScalarType type, const at::Tensor& x, const at::Tensor& weight,
             const std::optional<at::Tensor>& bias) {
  return x.scalar_type() == type && weight.scalar_type() == type && (!bias || bias->scalar_type() == type);
}

}  // namespace

at::Tensor linear_by_fp32_products(const at::Tensor& x, const at::Tensor& weight,
                                   const std::optional<at::Tensor>& bias, WeightOrder order) {
  return Linear<true>::apply(x, weight, bias, order == WeightOrder::kOutIn);
}

at::Tensor linear(const at::Tensor& x, const at::Tensor& weight, const std::optional<at::Tensor>& bias,
                  WeightOrder order) {
  const bool out_in = order == WeightOrder::kOutIn;
  if (x.device().is_cpu() && !base::cpu_features().fast_bf16 && all_are(at::kBFloat16, x, weight, bias))
    return linear_by_fp32_products(x, weight, bias, order);
  const bool by_gemm = gemm_kernel(at::kFloat) && all_are(at::kFloat, x, weight, bias);
  if (x.device().is_cpu() && (by_gemm || (accel::has_gradient_place(weight) && wants_grad({weight}))) &&
      !accel::Autocast::current())
    return Linear<false>::apply(x, weight, bias, out_in);
  if (out_in) return at::linear(x, weight, bias);
  auto shape = x.sizes().vec();
  shape.back() = weight.size(1);
  const at::Tensor rows = as_rows(x);
  return (bias ? at::addmm(*bias, rows, weight) : at::mm(rows, weight)).view(shape);
}

}  // namespace deepspeed::ops
