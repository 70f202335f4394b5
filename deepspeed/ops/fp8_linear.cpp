#include "deepspeed/ops/fp8_linear.h"

#include <ATen/ATen.h>
#include <c10/core/DeviceGuard.h>
#include <fmt/ranges.h>

#include "deepspeed/accel/native_device.h"
#include "deepspeed/base/error.h"
#include "deepspeed/ops/kernels.h"
#include "deepspeed/ops/packed_device.h"

namespace deepspeed::ops {
namespace {

// Rows of t [n, k], contiguous, in e4m3, and their scales [n, 1] in fp32.
std::pair<at::Tensor, at::Tensor> rounded(const at::Tensor& t) {
  const at::Tensor codes = at::empty(t.sizes(), t.options().dtype(at::kFloat8_e4m3fn));
  const at::Tensor scales = at::empty({t.size(0), 1}, t.options().dtype(at::kFloat));
  round_rows_on_device(t, t.size(1), cuda::RoundTo::kFp8, codes, scales);
  return {codes, scales};
}

}  // namespace

bool Fp8Weight::available(at::Device device) { return accel::compute_capability(device) >= 89; }

Fp8Weight Fp8Weight::round(const at::Tensor& weight, const std::optional<at::Tensor>& bias) {
  DS_CHECK(weight.dim() == 2 && fits(weight.size(0), weight.size(1)),
           "fp8 weight: [{}] cannot be one; both dimensions must be multiples of 16",
           fmt::join(weight.sizes(), ", "));
  DS_CHECK(weight.is_cuda(), "fp8 weight: it is on {}; want a GPU", weight.device().str());
  const c10::DeviceGuard on(weight.device());
  Fp8Weight result;
  auto [codes, scales] = rounded(weight.detach().contiguous());
  result.codes_ = codes;
  result.scales_ = scales.view({-1});
  if (bias && bias->defined()) result.bias_ = bias->detach().to(at::kBFloat16);
  return result;
}

at::Tensor Fp8Weight::dequantize() const { return codes_.to(at::kFloat) * scales_.unsqueeze(1); }

at::Tensor fp8_linear(const at::Tensor& x, const Fp8Weight& weight) {
  DS_CHECK(!wants_grad({x}), "fp8_linear: e4m3 weights have no gradients; run under a no-gradient guard");
  DS_CHECK(x.dim() > 0 && x.size(-1) == weight.in() && x.device() == weight.codes().device(),
           "fp8_linear: a weight of {} inputs on {} was given x of {} on {}", weight.in(),
           weight.codes().device().str(), x.dim() > 0 ? x.size(-1) : 0, x.device().str());
  const c10::DeviceGuard on(x.device());
  auto shape = x.sizes().vec();
  shape.back() = weight.out();
  if (x.numel() == 0) return at::empty(shape, x.options());
  const auto [codes, scales] = rounded(x.reshape({-1, weight.in()}).contiguous());
  const at::Tensor y = at::_scaled_mm(codes, weight.codes().t(), scales, weight.scales().unsqueeze(0),
                                      weight.bias().defined() ? std::optional(weight.bias()) : std::nullopt,
                                      std::nullopt, at::kBFloat16);
  return y.view(shape).to(x.scalar_type());
}

}  // namespace deepspeed::ops
