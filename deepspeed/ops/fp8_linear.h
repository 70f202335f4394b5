// Linear layers in 8-bit floating point (e4m3), for inference on GPUs that multiply it.
#pragma once

#include <ATen/core/Tensor.h>

#include <optional>

namespace deepspeed::ops {

/// A weight [out, in] in e4m3 (float8_e4m3fn: 4 bits of exponent, 3 of mantissa, up to 448): w^ = q s with a
/// scale s a row, so that with m the row's largest |w|  |w - w^| <= max(|w| / 16, m / 448 / 1024).
class Fp8Weight {
 public:
  /// Whether a device multiplies e4m3: a GPU of compute capability 8.9 or later (Ada, Hopper).
  static bool available(at::Device device);
  /// Whether a weight of this shape can be one: products want multiples of 16.
  static bool fits(int64_t out, int64_t in) { return out > 0 && in > 0 && out % 16 == 0 && in % 16 == 0; }
  /// weight: fp32, bf16 or fp16 [out, in] on the device; bias [out]. Errors: shapes that do not fit.
  static Fp8Weight round(const at::Tensor& weight, const std::optional<at::Tensor>& bias = std::nullopt);

  int64_t out() const { return codes_.size(0); }
  int64_t in() const { return codes_.size(1); }
  /// w^ [out, in] in fp32.
  at::Tensor dequantize() const;
  int64_t bytes() const { return static_cast<int64_t>(codes_.nbytes() + scales_.nbytes()); }

  const at::Tensor& codes() const { return codes_; }    // [out, in] float8_e4m3fn
  const at::Tensor& scales() const { return scales_; }  // [out] fp32
  const at::Tensor& bias() const { return bias_; }      // [out] bf16, or undefined

 private:
  at::Tensor codes_, scales_, bias_;
};

/// x [..., in] of fp32, bf16 or fp16 -> x^ w^T + bias [..., out] of x's type, rounded to bf16 on the way: x^
/// is x in e4m3 with a scale a row of in numbers, chosen by its largest one; sums are in fp32. A row of x
/// that holds a NaN or an infinity becomes NaN. Without gradients: an Error where one is wanted.
at::Tensor fp8_linear(const at::Tensor& x, const Fp8Weight& weight);

}  // namespace deepspeed::ops
