#include "deepspeed/ops/gptq.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <vector>

#include "deepspeed/base/error.h"
#include "deepspeed/ops/packed_codes.h"
#include "deepspeed/ops/parallel.h"

namespace deepspeed::ops {
namespace {

constexpr double kDamping = 0.01;     // of the mean of the diagonal, which is added to it
constexpr int64_t kWholeBlock = 128;  // columns at a time where a scale stands for a whole row

// The upper Cholesky factor of the inverse of moments, damped: row k says what an error of column k asks of
// the columns behind it.
at::Tensor inverse_factor(const at::Tensor& moments) {
  at::Tensor h = moments.to(at::kDouble).clone();
  at::Tensor diagonal = h.diagonal();
  const double mean = diagonal.mean().item<double>();
  DS_CHECK(h.isfinite().all().item<bool>(), "gptq: the moments of a layer's inputs are not finite");
  // Moments are sums of many fp32 numbers, hence not quite positive: then there is more damping.
  for (double damping = kDamping; damping < 100; damping *= 10) {
    diagonal.add_(mean > 0 ? damping * mean : 1.0);
    auto [factor, failed] = at::linalg_cholesky_ex(h);
    if (failed.item<int64_t>() != 0) continue;
    h = diagonal = at::Tensor();  // its memory is needed
    factor = at::cholesky_inverse(factor);
    return at::linalg_cholesky(factor, /*upper=*/true).to(at::kFloat).contiguous();
  }
  base::fail("gptq: the moments of a layer's inputs are those of no inputs");
}

// Rounds columns [begin, end) of one row, the scales being there, and passes errors on to those of them that
// follow. errors: [end - begin].
struct RowBlock {
  cpu::PackedScheme scheme;
  const float* factor;  // [in, in]
  int64_t in, begin, end;

  void round(float* row, GroupScale of, int8_t* codes, float* errors) const {
    const float scale = bf16_value(of.scale), shift = bf16_value(of.shift);
    for (int64_t k = begin; k < end; ++k) {
      const float* own = factor + k * in;
      const int8_t code = scale > 0 || scale < 0 ? nearest_code(scheme, (row[k] - shift) / scale) : int8_t{0};
      codes[k] = code;
      const float error = (row[k] - (code_value(scheme, code) * scale + shift)) / own[k];
      errors[k - begin] = error;
      for (int64_t next = k + 1; next < end; ++next) row[next] -= error * own[next];
    }
  }
};

}  // namespace

WeightCodes gptq_codes(const at::Tensor& weight, const at::Tensor& moments, const PackOptions& options) {
  DS_CHECK(weight.dim() == 2 && weight.scalar_type() == at::kFloat && weight.is_cpu(),
           "gptq: the weight must be fp32 [out, in] on the CPU");
  const int64_t out = weight.size(0), in = weight.size(1);
  DS_CHECK(moments.sizes() == at::IntArrayRef({in, in}), "gptq: the moments of {} inputs must be [{}, {}]",
           in, in, in);
  const cpu::PackedFormat f = format_of(options, out, in);
  DS_CHECK(f.quantized(), "gptq: {} has no codes", scheme_name(f.scheme));
  const at::Tensor factor = inverse_factor(moments);
  const at::Tensor cost = factor.diagonal().pow(-2).contiguous();
  at::Tensor left = weight.clone(at::MemoryFormat::Contiguous);  // what is to be rounded, errors added
  WeightCodes result{at::empty({out, in}, at::kChar), at::empty({out, f.groups()}, at::kBFloat16)};
  if (f.asymmetric) result.shifts = at::empty_like(result.scales);
  auto* codes = result.codes.data_ptr<int8_t>();
  auto* scales = static_cast<uint16_t*>(result.scales.data_ptr());
  auto* shifts = f.asymmetric ? static_cast<uint16_t*>(result.shifts.data_ptr()) : nullptr;
  auto* rows = left.data_ptr<float>();
  const int64_t step = f.group > 0 ? f.group : std::min(in, kWholeBlock);
  for (int64_t begin = 0; begin < in; begin += step) {
    const int64_t end = std::min(in, begin + step), group = f.group > 0 ? begin / f.group : 0;
    const at::Tensor errors = at::empty({out, end - begin}, at::kFloat);
    const RowBlock block{f.scheme, factor.const_data_ptr<float>(), in, begin, end};
    parallel_ranges(out, 16, [&](int64_t first, int64_t last) {
      for (int64_t row = first; row < last; ++row) {
        const int64_t at = row * f.groups() + group;
        if (f.group > 0 || begin == 0) {
          const int64_t count = f.group > 0 ? end - begin : in;
          const GroupScale of =
              quantize_group(f.scheme, f.asymmetric, rows + row * in + begin, count, codes + row * in + begin,
                             cost.const_data_ptr<float>() + begin);
          scales[at] = of.scale;
          if (shifts) shifts[at] = of.shift;
        }
        block.round(rows + row * in, {scales[at], shifts ? shifts[at] : uint16_t{0}}, codes + row * in,
                    errors.data_ptr<float>() + row * (end - begin));
      }
    });
    if (end < in)
      left.narrow(1, end, in - end)
          .addmm_(errors, factor.narrow(0, begin, end - begin).narrow(1, end, in - end), 1, -1);
  }
  return result;
}

}  // namespace deepspeed::ops
