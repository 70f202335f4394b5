#include "deepspeed/ops/dropout.h"

#include <ATen/Parallel.h>
#include <ATen/ops/empty_like.h>
#include <c10/core/DeviceGuard.h>
#include <fmt/ranges.h>
#include <torch/csrc/autograd/custom_function.h>

#include "deepspeed/accel/native_device.h"
#include "deepspeed/base/error.h"
#include "deepspeed/ops/cpu/dropout_kernel.h"
#include "deepspeed/ops/device_kernels.h"
#include "deepspeed/ops/isa_table.h"

namespace deepspeed::ops {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::Variable;
using torch::autograd::variable_list;

cpu::DropoutKernel kernel() {
  switch (chosen_isa("dropout")) {
    case base::Isa::kAvx2:
      return cpu::dropout_avx2;
    case base::Isa::kAvx512:
      return cpu::dropout_avx512;
    default:
      return cpu::dropout_scalar;
  }
}

void check(const char* op, const at::Tensor& x, double p) {
  DS_CHECK(p >= 0 && p <= 1, "{}: probability {} is outside [0, 1]", op, p);
  DS_CHECK(x.is_cpu() || x.is_cuda(), "{}: the tensor is on {}; only CPUs and GPUs have a kernel", op,
           x.device().str());
  DS_CHECK(x.scalar_type() == at::kFloat || x.scalar_type() == at::kBFloat16 || x.scalar_type() == at::kHalf,
           "{}: dtype {}; want float32, bfloat16 or float16", op, c10::toString(x.scalar_type()));
}

at::Tensor forward_on_gpu(const at::Tensor& x, const at::Tensor& residual, double p, accel::RngKey key) {
  const at::Tensor from = x.contiguous(), base = residual.defined() ? residual.contiguous() : residual;
  const at::Tensor to =
      at::empty_like(from, from.options().requires_grad(false), at::MemoryFormat::Contiguous);
  const c10::DeviceGuard on(x.device());
  cuda::dropout({cpu::dropout_mask(p, key.seed, key.stream), from.data_ptr(),
                 base.defined() ? base.data_ptr() : nullptr, to.data_ptr(), element_of("dropout", "x", from),
                 from.numel()},
                accel::native_stream(x.device()));
  return to;
}

/// `residual` may be undefined.
at::Tensor forward(const at::Tensor& x, const at::Tensor& residual, double p, accel::RngKey key) {
  if (x.is_cuda()) return forward_on_gpu(x, residual, p, key);
  if (x.scalar_type() == at::kHalf) {
    return forward(x.to(at::kFloat), residual.defined() ? residual.to(at::kFloat) : residual, p, key)
        .to(at::kHalf);
  }
  const at::Tensor from = x.contiguous(), base = residual.defined() ? residual.contiguous() : residual;
  const at::Tensor to =
      at::empty_like(from, from.options().requires_grad(false), at::MemoryFormat::Contiguous);
  const cpu::DropoutArgs args{cpu::dropout_mask(p, key.seed, key.stream), from.data_ptr(),
                              base.defined() ? base.data_ptr() : nullptr, to.data_ptr(),
                              from.scalar_type() == at::kBFloat16};
  const cpu::DropoutKernel run = kernel();
  constexpr int64_t kBlock = 32;
  const int64_t count = from.numel();
  at::parallel_for(0, (count + kBlock - 1) / kBlock, 512, [&](int64_t begin, int64_t end) {
    run(args, begin * kBlock, std::min(end * kBlock, count));
  });
  return to;
}

/// residual + mask * x; the gradient of x is the same function of its gradient, without residual.
struct Dropout : torch::autograd::Function<Dropout> {
  // autograd takes an absent optional, but not an undefined tensor.
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x,
                            const std::optional<at::Tensor>& residual, double p, accel::RngKey key) {
    context->saved_data["p"] = p;
    context->saved_data["seed"] = static_cast<int64_t>(key.seed);
    context->saved_data["stream"] = static_cast<int64_t>(key.stream);
    context->saved_data["residual"] = residual.has_value();
    return ops::forward(x, residual.value_or(at::Tensor()), p, key);
  }

  static variable_list backward(AutogradContext* context, const variable_list& grads) {
    auto& saved = context->saved_data;
    const accel::RngKey key{static_cast<uint64_t>(saved["seed"].toInt()),
                            static_cast<uint64_t>(saved["stream"].toInt())};
    const at::Tensor grad =
        context->needs_input_grad(0) ? dropout(grads[0], saved["p"].toDouble(), key) : at::Tensor();
    return {grad, saved["residual"].toBool() ? grads[0] : Variable(), Variable(), Variable()};
  }
};

}  // namespace

at::Tensor dropout(const at::Tensor& x, double p, accel::RngKey key) {
  check("dropout", x, p);
  if (p == 0) return x;
  if (at::GradMode::is_enabled() && x.requires_grad())
    return Dropout::apply(x, std::optional<at::Tensor>(), p, key);
  return forward(x, {}, p, key);
}

at::Tensor dropout_add(const at::Tensor& residual, const at::Tensor& x, double p, accel::RngKey key) {
  check("dropout_add", x, p);
  // Under autocast 16-bit outputs of layers are added to an fp32 sum.
  if (residual.scalar_type() == at::kFloat && x.scalar_type() != at::kFloat && residual.sizes() == x.sizes())
    return residual + dropout(x, p, key);
  DS_CHECK(
      residual.sizes() == x.sizes() && residual.scalar_type() == x.scalar_type(),
      "dropout_add: residual is {} [{}], x is {} [{}]; want one shape, and one dtype or an fp32 residual",
      c10::toString(residual.scalar_type()), fmt::join(residual.sizes(), ","), c10::toString(x.scalar_type()),
      fmt::join(x.sizes(), ","));
  if (p == 0) return residual + x;
  if (at::GradMode::is_enabled() && (x.requires_grad() || residual.requires_grad())) {
    return Dropout::apply(x, std::optional<at::Tensor>(residual), p, key);
  }
  return forward(x, residual, p, key);
}

}  // namespace deepspeed::ops
