// The weight of a linear layer in the form that inference multiplies by: packed in the kernels' own order, in
// 32, 16, 8, 6 or 4 bits a number.
#pragma once

#include <ATen/core/Tensor.h>

#include <functional>
#include <optional>

#include "deepspeed/ops/cpu/packed_format.h"
#include "deepspeed/ops/linear.h"

namespace deepspeed::ops {

/// kFp32, kBf16    the numbers themselves, rounded to the type
/// kInt8           w^ = q s, q in -127 ... 127
/// kInt8Dynamic    the same, multiplied by x rounded to 8 bits as well (ZeroQuant's W8A8)
/// kInt4           w^ = q s, q in -8 ... 7; s may be negative
/// kFp6            w^ = q s, q an e3m2 number: 0, or 2^-4 ... 28 with two bits behind the leading one
/// One scale s stands for `group` numbers of a row, and, where asymmetric, one shift: w^ = q s + shift.
using cpu::PackedFormat;
using cpu::PackedScheme;

/// "fp32", "bf16", "int8", "w8a8", "int4", "fp6".
const char* scheme_name(PackedScheme scheme);
std::optional<PackedScheme> scheme_of(std::string_view name);

struct PackOptions {
  PackedScheme scheme = PackedScheme::kBf16;
  /// Numbers along `in` with one scale: a multiple of 32 up to 128, or 0 for the whole row. Unset: 32 for
  /// int4, the whole row for all others. Not looked at for fp32 and bf16.
  std::optional<int64_t> group{};
  /// The first half of the outputs are gates, the second half the ups they multiply: packed_linear gives
  /// half as many outputs, activation(gate) * up.
  bool gated = false;
  /// Of int8, w8a8 and int4: groups have a shift beside their scale, so that their numbers need not lie
  /// around zero.
  bool asymmetric = false;
  /// Where `group` is unset: at least so many scales in all. A row has one or more; where that is not enough,
  /// its groups are as long as they may be.
  int64_t least_scales = 0;
};

/// Errors: a shape or group that cannot be packed.
PackedFormat format_of(const PackOptions& options, int64_t out, int64_t in);

/// Writes rows [begin, begin + count) of a weight [out, in] to `to` in fp32, one after the other. Called on
/// the compute threads, several at a time.
using RowReader = std::function<void(int64_t begin, int64_t count, float* to)>;

/// The integers of a quantized weight in its own order: what files hold.
struct WeightCodes {
  at::Tensor codes;     // [out, in] int8: q, or the six bits of an fp6 number
  at::Tensor scales;    // [out, groups] bf16
  at::Tensor shifts{};  // the same, of asymmetric ones; undefined: none
};

/// Holds no more than the packed numbers, their scales and the bias; copies share them. Scales are rounded to
/// bf16, away from zero, before the numbers are rounded to multiples of them: their few bits cost 2^-8 of a
/// step, and unlike fp16 no size of weights is out of reach. Hence with m the largest |w| of a group
///   int8, w8a8   |w - w^| <= m / 254 (1 + 2^-7)
///   int4         |w - w^| <= m / 8 (1 + 2^-7), and half of that but for numbers near m of m's opposite sign:
///   the
///                scale is the better one, by the sum of squares, of m / 7 and that which makes m itself -8
///   fp6          |w - w^| <= max(|w| / 8, m / 896 (1 + 2^-7))
/// and of asymmetric ones, with d the distance between the largest and the smallest w of a group,
///   int8, w8a8   |w - w^| <= d / 508 (1 + 2^-7) + 2^-8 |shift|
///   int4         the sum of squares is at most that of the range's sixteen even steps: they are where a
///                search by least squares begins
/// A group that holds an infinity or a NaN has a scale of NaN; one below 2^-100 throughout is zero.
class PackedWeight {
 public:
  /// weight is fp32, bf16 or fp16 on the CPU, of any strides, [out, in] or [in, out]; bias [out], if any, is
  /// kept in fp32. On the compute threads; reads `weight` panel by panel. Errors: a shape, type or group that
  /// cannot be packed.
  static PackedWeight pack(const at::Tensor& weight, const PackOptions& options,
                           WeightOrder order = WeightOrder::kOutIn,
                           const std::optional<at::Tensor>& bias = std::nullopt);
  /// Of a weight that need not be in memory: [out, in], of which every row is asked for once.
  static PackedWeight pack(int64_t out, int64_t in, const RowReader& rows, const PackOptions& options,
                           const std::optional<at::Tensor>& bias = std::nullopt);
  /// From codes, exactly: codes() of the result are these. options.group must fit the scales' shape.
  static PackedWeight from_codes(const WeightCodes& codes, const PackOptions& options,
                                 const std::optional<at::Tensor>& bias = std::nullopt);

  const PackedFormat& format() const { return format_; }
  /// What packed_linear gives for each row: out, or half of it where gated.
  int64_t width() const { return format_.gated ? format_.out / 2 : format_.out; }
  /// w^ [out, in] in fp32, on its device.
  at::Tensor dequantize() const;
  /// Rows of w^: ids int64 of any shape on its device, each in [0, out) -> [..., in] of `type`, fp32 or bf16.
  /// On a GPU, which nobody waits for, rows of quantized schemes that are not there are NaN instead of an
  /// Error.
  at::Tensor rows(const at::Tensor& ids, at::ScalarType type) const;
  /// Of quantized schemes on the CPU; an Error for others.
  WeightCodes codes() const;
  /// [out] in fp32, undefined without. On the CPU.
  at::Tensor bias() const;
  /// One with memory of its own. On the CPU.
  PackedWeight clone() const;
  /// The same numbers on a GPU, in the order of its kernels (packed_device.h), from the CPU.
  PackedWeight to(at::Device device) const;
  at::Device device() const { return packed_.device(); }
  /// Memory of its numbers and scales, which is what a product with few rows reads of it.
  int64_t bytes() const;

  /// As the kernels read them (cpu/packed_format.h, on a GPU packed_device.h): uint8, bf16, fp32 or
  /// undefined.
  const at::Tensor& packed() const { return packed_; }
  const at::Tensor& packed_scales() const { return scales_; }
  const at::Tensor& packed_bias() const { return bias_; }

 private:
  PackedWeight(const PackedFormat& format, const std::optional<at::Tensor>& bias);
  void check_host(const char* what) const;

  PackedFormat format_;
  at::Tensor packed_, scales_, bias_;
};

}  // namespace deepspeed::ops
