#include "deepspeed/ops/rms_norm.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

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
  NormInputs in = norm_inputs("rms_norm", x, weight, {}, eps);
  if (kind == RmsWeight::kFromOne) in.weight = in.weight + 1;
  return in;
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

}  // namespace

at::Tensor rms_norm(const at::Tensor& x, const at::Tensor& weight, double eps, RmsWeight kind) {
  if (x.defined() && x.is_cuda()) return formula::rms_norm(x, weight, eps, kind);
  if (wants_grad({x, weight})) return RmsNorm::apply(x, weight, eps, kind);
  return norm_forward(forward_kernel(kind), inputs(x, weight, eps, kind), {}, {});
}

}  // namespace deepspeed::ops
