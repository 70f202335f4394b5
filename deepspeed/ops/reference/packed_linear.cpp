#include "deepspeed/ops/reference/packed_linear.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "deepspeed/base/error.h"
#include "deepspeed/ops/reference/activation.h"

namespace deepspeed::ops::reference {
namespace {

at::Tensor activated(PackedActivation activation, const at::Tensor& x) {
  switch (activation) {
    case PackedActivation::kNone:
      return x;
    case PackedActivation::kGeluTanh:
      return reference::gelu(x, GeluKind::kTanh);
    case PackedActivation::kGeluErf:
      return reference::gelu(x, GeluKind::kErf);
    case PackedActivation::kSilu:
      return x * at::sigmoid(x);
    case PackedActivation::kRelu:
      return at::relu(x);
  }
  base::fail("unknown activation");
}

// Half a step of the fixed point that x [rows, in] is coded in, for every element.
at::Tensor half_steps(const at::Tensor& x, const PackedFormat& f) {
  const double most = f.scheme == PackedScheme::kInt8Dynamic ? 127 : 32512;
  const at::Tensor result = at::empty_like(x);
  for (int64_t k = 0; k < f.in; k += f.x_group()) {
    const int64_t count = std::min(f.x_group(), f.in - k);
    result.narrow(1, k, count)
        .copy_(x.narrow(1, k, count).abs().amax(1, true).expand({-1, count}) / most / 2);
  }
  return result;
}

// |w^| [out, in]; where it is a sum of two that are multiplied for themselves, |q s| + |shift|.
at::Tensor summands_of(const PackedWeight& weight) {
  const at::Tensor w = weight.dequantize().to(at::kDouble);
  const PackedFormat& f = weight.format();
  if (!f.asymmetric) return w.abs();
  const at::Tensor shifts = weight.codes().shifts.to(at::kDouble).abs();
  const at::Tensor spread = f.group > 0 ? shifts.repeat_interleave(f.group, 1).narrow(1, 0, f.in) : shifts;
  return w.abs() + 2 * spread;
}

}  // namespace

at::Tensor packed_linear(const at::Tensor& x, const PackedWeight& weight, const PackedEpilogue& epilogue) {
  at::Tensor y = at::mm(x.to(at::kDouble), weight.dequantize().to(at::kDouble).t());
  if (weight.bias().defined()) y = y + weight.bias().to(at::kDouble);
  if (weight.format().gated) {
    const auto halves = y.chunk(2, 1);
    y = activated(epilogue.activation, halves[0]) * halves[1];
  } else {
    y = activated(epilogue.activation, y);
  }
  return epilogue.residual.defined() ? y + epilogue.residual.to(at::kDouble) : y;
}

at::Tensor packed_sum_bound(const at::Tensor& x, const PackedWeight& weight, bool tiles) {
  const PackedFormat& f = weight.format();
  const at::Tensor wide = x.to(at::kDouble), size = wide.abs();
  const at::Tensor w = summands_of(weight);
  constexpr double kHalfBf16 = 0x1p-8, kFp32 = 0x1p-24;
  at::Tensor x_error = at::zeros_like(wide), w_error = at::zeros_like(w);
  if (f.scheme == PackedScheme::kBf16 || (tiles && f.scheme != PackedScheme::kInt8Dynamic)) {
    if (x.scalar_type() != at::kBFloat16) x_error = size * kHalfBf16;
    if (f.scheme != PackedScheme::kBf16) w_error = w * kHalfBf16;
  } else if (f.quantized()) {
    // And of the scale and the quotient in fp32.
    x_error = half_steps(wide, f) * (1 + 1e-4) + size * 4 * kFp32;
  }
  // Each of `in` additions rounds a sum of at most these products once; bf16 pairs are added in between.
  const double additions = static_cast<double>(f.in + 8) * kFp32;
  return at::mm(x_error, (w + w_error).t()) + at::mm(size, w_error.t()) +
         at::mm(size + x_error, w.t()) * additions;
}

}  // namespace deepspeed::ops::reference
