#include "deepspeed/ops/rotary.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/index_select.h>
#include <ATen/ops/pow.h>
#include <ATen/ops/tensor.h>
#include <c10/core/DeviceGuard.h>
#include <fmt/ranges.h>
#include <torch/csrc/autograd/custom_function.h>

#include "deepspeed/accel/native_device.h"
#include "deepspeed/base/error.h"
#include "deepspeed/ops/cpu/rotary_kernel.h"
#include "deepspeed/ops/device_kernels.h"
#include "deepspeed/ops/isa_table.h"
#include "deepspeed/ops/parallel.h"

namespace deepspeed::ops {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::Variable;
using torch::autograd::variable_list;

cpu::RotaryKernel kernel() {
  switch (chosen_isa("rotary")) {
    case base::Isa::kAvx2:
      return cpu::rotary_avx2;
    case base::Isa::kAvx512:
      return cpu::rotary_avx512;
    default:
      return cpu::rotary_scalar;
  }
}

int64_t rotary_dim(int64_t head_dim, const RotaryOptions& options) {
  const int64_t dim = options.rotary_dim == 0 ? head_dim : options.rotary_dim;
  DS_CHECK(dim > 0 && dim <= head_dim && dim % 2 == 0,
           "rotary: rotary_dim {} must be even and at most the head size {}", dim, head_dim);
  return dim;
}

at::Tensor turn(const at::Tensor& x, const RotaryTable& given, float sign) {
  const bool on_gpu = x.is_cuda();
  const RotaryTable table{given.cos.to(x.device()), given.sin.to(x.device()), given.options};
  if (x.scalar_type() == at::kHalf && !on_gpu) return turn(x.to(at::kFloat), table, sign).to(at::kHalf);
  const at::Tensor from = x.stride(3) == 1 ? x : x.contiguous();
  const at::Tensor to = at::empty_like(from, from.options().requires_grad(false));
  cpu::RotaryArgs a{};
  a.from = from.data_ptr();
  a.to = to.data_ptr();
  a.heads = x.size(1);
  a.length = x.size(2);
  a.dim = x.size(3);
  a.rotary_dim = 2 * table.cos.size(-1);
  a.from_batch = from.stride(0);
  a.from_head = from.stride(1);
  a.from_row = from.stride(2);
  a.to_batch = to.stride(0);
  a.to_head = to.stride(1);
  a.to_row = to.stride(2);
  a.cos = table.cos.data_ptr<float>();
  a.sin = table.sin.data_ptr<float>();
  a.table_batch = table.cos.dim() == 3 ? table.cos.stride(0) : 0;
  a.sign = sign;
  a.interleaved = table.options.interleaved;
  a.bf16 = x.scalar_type() == at::kBFloat16;
  if (on_gpu) {
    const c10::DeviceGuard on(x.device());
    cuda::rotary({a, element_of("rotary", "x", x), x.size(0)}, accel::native_stream(x.device()));
    return to;
  }
  const cpu::RotaryKernel run = kernel();
  parallel_ranges(x.size(0) * x.size(2), 64, [&](int64_t begin, int64_t end) { run(a, begin, end); });
  return to;
}

struct Rotary : torch::autograd::Function<Rotary> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const RotaryTable& table,
                            double sign) {
    context->saved_data["cos"] = table.cos;
    context->saved_data["sin"] = table.sin;
    context->saved_data["interleaved"] = table.options.interleaved;
    context->saved_data["sign"] = sign;
    return turn(x, table, static_cast<float>(sign));
  }

  static variable_list backward(AutogradContext* context, const variable_list& grads) {
    auto& saved = context->saved_data;
    RotaryTable table{saved["cos"].toTensor(), saved["sin"].toTensor(), {}};
    table.options.interleaved = saved["interleaved"].toBool();
    const double sign = -saved["sign"].toDouble();
    const bool again = at::GradMode::is_enabled() && grads[0].requires_grad();
    return {again ? Rotary::apply(grads[0], table, sign) : turn(grads[0], table, static_cast<float>(sign)),
            Variable(), Variable()};
  }
};

// `frequency` [rotary_dim/2] float64, radians a position.
RotaryTable table_of(const at::Tensor& frequency, double amplitude, int64_t length, int64_t position_offset,
                     const RotaryOptions& options) {
  const at::Tensor position = at::arange(position_offset, position_offset + length, at::kDouble);
  const at::Tensor angle = position.unsqueeze(1) * frequency.unsqueeze(0);
  return {(angle.cos() * amplitude).to(at::kFloat), (angle.sin() * amplitude).to(at::kFloat), options};
}

}  // namespace

RotaryTable rotary_table(int64_t head_dim, int64_t length, int64_t position_offset,
                         const RotaryOptions& options) {
  const int64_t dim = rotary_dim(head_dim, options);
  return table_of(at::pow(options.theta, at::arange(0, dim, 2, at::kDouble) / -static_cast<double>(dim)),
                  /*amplitude=*/1, length, position_offset, options);
}

RotaryTable rotary_table(const RotaryAngles& angles, int64_t length, int64_t position_offset) {
  DS_CHECK(!angles.frequencies.empty(), "rotary: there are no frequencies to turn by");
  const RotaryOptions options{.rotary_dim = 2 * static_cast<int64_t>(angles.frequencies.size()),
                              .interleaved = angles.interleaved};
  return table_of(at::tensor(angles.frequencies, at::kDouble), angles.amplitude, length, position_offset,
                  options);
}

RotaryTable rotary_at(const RotaryTable& table, const at::Tensor& positions) {
  DS_CHECK(positions.dim() == 2 && positions.scalar_type() == at::kLong,
           "rotary: positions must be int64 [batch, length]");
  const at::Tensor flat = positions.reshape({-1});
  const auto rows = [&](const at::Tensor& from) {
    return from.index_select(0, flat).view({positions.size(0), positions.size(1), from.size(1)});
  };
  return {rows(table.cos), rows(table.sin), table.options};
}

at::Tensor rotary(const at::Tensor& x, const RotaryTable& table) {
  DS_CHECK(x.dim() == 4, "rotary: x is [{}]; want [batch, heads, length, head size]",
           fmt::join(x.sizes(), ","));
  DS_CHECK(x.is_cpu() || x.is_cuda(), "rotary: the tensor is on {}; only CPUs and GPUs can turn it",
           x.device().str());
  DS_CHECK(x.scalar_type() == at::kFloat || x.scalar_type() == at::kBFloat16 || x.scalar_type() == at::kHalf,
           "rotary: dtype {}; want float32, bfloat16 or float16", c10::toString(x.scalar_type()));
  DS_CHECK(2 * table.cos.size(-1) == rotary_dim(x.size(3), table.options) &&
               table.cos.size(-2) >= x.size(2) && (table.cos.dim() == 2 || table.cos.size(0) == x.size(0)),
           "rotary: the table is [{}], x is [{}]; make it for x's batch, length and head size",
           fmt::join(table.cos.sizes(), ","), fmt::join(x.sizes(), ","));
  if (at::GradMode::is_enabled() && x.requires_grad()) return Rotary::apply(x, table, 1.0);
  return turn(x, table, 1.0f);
}

at::Tensor rotary(const at::Tensor& x, int64_t position_offset, const RotaryOptions& options) {
  DS_CHECK(x.dim() == 4, "rotary: x is [{}]; want [batch, heads, length, head size]",
           fmt::join(x.sizes(), ","));
  return rotary(x, rotary_table(x.size(3), x.size(2), position_offset, options));
}

}  // namespace deepspeed::ops
