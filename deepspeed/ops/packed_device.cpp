#include "deepspeed/ops/packed_device.h"

#include <ATen/ATen.h>
#include <c10/core/DeviceGuard.h>

#include "deepspeed/accel/native_device.h"
#include "deepspeed/base/error.h"
#include "deepspeed/ops/device_kernels.h"

namespace deepspeed::ops {
namespace {

constexpr int64_t kFewRows = 16;  // are multiplied without the dequantized weight in memory
constexpr int64_t kFill = 32;     // rows are filled up to a multiple of so many numbers

std::vector<int64_t> shape_of_rows(const at::Tensor& ids, const PackedWeight& weight) {
  std::vector<int64_t> shape = ids.sizes().vec();
  shape.push_back(weight.format().in);
  return shape;
}

cuda::DevicePacked view_of(const PackedWeight& weight) {
  const PackedFormat& f = weight.format();
  const at::Tensor& scales = weight.packed_scales();
  const auto at = [&](const at::Tensor& t) { return t.const_data_ptr(); };
  return {.scheme = f.scheme,
          .in = f.in,
          .out = f.out,
          .row_bytes = weight.packed().size(1),
          .group = f.group,
          .groups = f.groups(),
          .codes = weight.packed().const_data_ptr<uint8_t>(),
          .scales = f.asymmetric ? at(scales[0]) : at(scales),
          .shifts = f.asymmetric ? at(scales[1]) : nullptr,
          .bias = weight.packed_bias().defined() ? weight.packed_bias().const_data_ptr<float>() : nullptr};
}

// Rows of x [n, in], what W8A8's groups make of them in fp32.
at::Tensor rounded_numbers(const at::Tensor& x, int64_t group) {
  const at::Tensor out = at::empty(x.sizes(), x.options().dtype(at::kFloat));
  round_rows_on_device(x, group, cuda::RoundTo::kInt8Numbers, out, {});
  return out;
}

// activation(y) and what a gate multiplies, [n, out] -> [n, width].
at::Tensor activated(const at::Tensor& y, const PackedFormat& f, PackedActivation activation) {
  const auto apply = [&](const at::Tensor& t) -> at::Tensor {
    switch (activation) {
      case PackedActivation::kNone:
        break;
      case PackedActivation::kGeluTanh:
        return at::gelu(t, "tanh");
      case PackedActivation::kGeluErf:
        return at::gelu(t);
      case PackedActivation::kSilu:
        return at::silu(t);
      case PackedActivation::kRelu:
        return at::relu(t);
    }
    return t;
  };
  if (!f.gated) return apply(y);
  const auto halves = y.split(f.out / 2, 1);
  return apply(halves[0]) * halves[1];
}

// The kernel reads vectors of 16 bytes; part of a tensor may begin anywhere.
at::Tensor aligned(const at::Tensor& x) {
  return reinterpret_cast<uintptr_t>(x.const_data_ptr()) % 16 == 0 ? x : x.clone();
}

at::Tensor few_rows(const at::Tensor& given, const PackedWeight& weight, const PackedEpilogue& epilogue) {
  const PackedFormat& f = weight.format();
  const at::Tensor x = aligned(given);
  const at::Tensor out = at::empty({x.size(0), weight.width()}, x.options().requires_grad(false));
  const at::Tensor residual =
      epilogue.residual.defined() ? epilogue.residual.reshape(out.sizes()).contiguous() : at::Tensor();
  cuda::packed_few_rows({.weight = view_of(weight),
                         .type = element_of("packed_linear", "x", x),
                         .x = x.const_data_ptr(),
                         .residual = residual.defined() ? residual.const_data_ptr() : nullptr,
                         .out = out.data_ptr(),
                         .rows = x.size(0),
                         .gated = f.gated,
                         .activation = epilogue.activation},
                        accel::native_stream(x.device()));
  return out;
}

// y [n, out] in fp32 of rows and weights that are both integers.
at::Tensor integer_product(const at::Tensor& x, const PackedWeight& weight) {
  const at::Tensor codes = at::empty(x.sizes(), x.options().dtype(at::kChar));
  const at::Tensor scales = at::empty({x.size(0), 1}, x.options().dtype(at::kFloat));
  round_rows_on_device(x, x.size(1), cuda::RoundTo::kInt8, codes, scales);
  const at::Tensor y = at::_int_mm(codes, weight.packed().view(at::kChar).t()).to(at::kFloat);
  return y * scales * weight.packed_scales().view({1, -1}).to(at::kFloat);
}

at::Tensor many_rows(const at::Tensor& x, const PackedWeight& weight, const PackedEpilogue& epilogue) {
  const PackedFormat& f = weight.format();
  const at::Tensor& bias = weight.packed_bias();
  const auto type = x.scalar_type();
  at::Tensor y;
  const bool rounds = f.scheme == PackedScheme::kInt8Dynamic;
  if (rounds && f.group == 0 && !f.asymmetric && f.in % kFill == 0 && f.out % 8 == 0) {
    y = integer_product(x, weight);
    if (bias.defined()) y += bias;
  } else {
    const at::Tensor own = rounds ? rounded_numbers(x, f.group > 0 ? f.group : f.in).to(type) : x;
    y = at::linear(own, dequantize_on_device(weight, type),
                   bias.defined() ? std::optional(bias.to(type)) : std::nullopt);
  }
  y = activated(y, f, epilogue.activation);
  if (epilogue.residual.defined()) y = y + epilogue.residual.reshape(y.sizes());
  return y.to(type);
}

}  // namespace

void round_rows_on_device(const at::Tensor& x, int64_t group, cuda::RoundTo to, const at::Tensor& out,
                          const at::Tensor& scales) {
  cuda::round_rows({.x = x.const_data_ptr(),
                    .type = element_of("rounding of rows", "x", x),
                    .rows = x.size(0),
                    .in = x.size(1),
                    .group = group,
                    .to = to,
                    .out = out.data_ptr(),
                    .scales = scales.defined() ? scales.data_ptr<float>() : nullptr},
                   accel::native_stream(x.device()));
}

at::Tensor device_codes(PackedScheme scheme, const at::Tensor& codes) {
  const int64_t in = codes.size(1), filled = (in + kFill - 1) / kFill * kFill;
  const at::Tensor all = at::constant_pad_nd(codes, {0, filled - in});
  if (scheme != PackedScheme::kInt4) return all.contiguous().view(at::kByte);
  const at::Tensor pairs = (all + 8).to(at::kByte).view({codes.size(0), filled / 2, 2});
  return pairs.select(2, 0).bitwise_or(pairs.select(2, 1).mul(16)).contiguous();
}

at::Tensor dequantize_on_device(const PackedWeight& weight, at::ScalarType type) {
  if (!weight.format().quantized()) return weight.packed().to(type);
  const c10::DeviceGuard on(weight.device());
  const PackedFormat& f = weight.format();
  const at::Tensor out = at::empty({f.out, f.in}, at::TensorOptions(type).device(weight.device()));
  cuda::packed_dequantize(view_of(weight), nullptr, f.out, element_of("packed weight", "w", out),
                          out.data_ptr(), accel::native_stream(weight.device()));
  return out;
}

at::Tensor rows_on_device(const PackedWeight& weight, const at::Tensor& ids, at::ScalarType type) {
  DS_CHECK(ids.scalar_type() == at::kLong && ids.device() == weight.device(),
           "packed weight: rows are named by int64 on {}", weight.device().str());
  const c10::DeviceGuard on(weight.device());
  if (!weight.format().quantized())
    return weight.packed().index_select(0, ids.reshape({-1})).view(shape_of_rows(ids, weight)).to(type);
  const at::Tensor list = ids.contiguous();
  const at::Tensor out =
      at::empty(shape_of_rows(ids, weight), at::TensorOptions(type).device(weight.device()));
  cuda::packed_dequantize(view_of(weight), list.const_data_ptr<int64_t>(), list.numel(),
                          element_of("packed weight", "w", out), out.data_ptr(),
                          accel::native_stream(weight.device()));
  return out;
}

at::Tensor packed_linear_on_device(const at::Tensor& x, const PackedWeight& weight,
                                   const PackedEpilogue& epilogue) {
  const PackedFormat& f = weight.format();
  const c10::DeviceGuard on(x.device());
  auto shape = x.sizes().vec();
  shape.back() = weight.width();
  at::Tensor rows = x.reshape({-1, f.in}).contiguous();
  if (rows.size(0) == 0) return at::empty(shape, x.options().requires_grad(false));
  if (rows.size(0) > kFewRows || !f.quantized()) return many_rows(rows, weight, epilogue).view(shape);
  if (f.scheme != PackedScheme::kInt8Dynamic) return few_rows(rows, weight, epilogue).view(shape);
  const at::Tensor coarse = rounded_numbers(rows, f.group > 0 ? f.group : f.in);
  PackedEpilogue wide = epilogue;
  if (wide.residual.defined()) wide.residual = wide.residual.to(at::kFloat);
  return few_rows(coarse, weight, wide).to(x.scalar_type()).view(shape);
}

}  // namespace deepspeed::ops
