#include "deepspeed/ops/packed_weight.h"

#include <ATen/ATen.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <vector>

#include "deepspeed/base/error.h"
#include "deepspeed/ops/huge_pages.h"
#include "deepspeed/ops/kernels.h"
#include "deepspeed/ops/packed_codes.h"
#include "deepspeed/ops/packed_device.h"
#include "deepspeed/ops/packed_panels.h"
#include "deepspeed/ops/parallel.h"

namespace deepspeed::ops {
namespace {

using cpu::kPanel;

constexpr std::array<std::pair<PackedScheme, const char*>, 6> kNames = {{
    {PackedScheme::kFp32, "fp32"},
    {PackedScheme::kBf16, "bf16"},
    {PackedScheme::kInt8, "int8"},
    {PackedScheme::kInt8Dynamic, "w8a8"},
    {PackedScheme::kInt4, "int4"},
    {PackedScheme::kFp6, "fp6"},
}};

// The panel and the column in it of an output.
struct Place {
  int64_t panel, column;
};
Place place(const PackedFormat& f, int64_t output) {
  if (!f.gated) return {output / kPanel, output % kPanel};
  const int64_t half = f.out / 2, unit = output % half;
  return {unit / kPanel * 2 + output / half, unit % kPanel};
}
// And back; -1 where a column only fills the panel up.
int64_t output_at(const PackedFormat& f, int64_t panel, int64_t column) {
  if (!f.gated) return panel * kPanel + column < f.out ? panel * kPanel + column : -1;
  const int64_t unit = panel / 2 * kPanel + column, half = f.out / 2;
  return unit < half ? unit + panel % 2 * half : -1;
}

// Rows of [out, in] of any strides, as fp32.
RowReader rows_of(const at::Tensor& weight, cpu::Element element) {
  const auto reader = [&]<class T>(const T* data, auto widen) -> RowReader {
    return [data, widen, in = weight.size(1), row = weight.stride(0), step = weight.stride(1)](
               int64_t begin, int64_t count, float* to) {
      for (const T* from = data + begin * row; count > 0; --count, from += row, to += in) {
        if (step == 1)
          for (int64_t k = 0; k < in; ++k) to[k] = widen(from[k]);
        else
          for (int64_t k = 0; k < in; ++k) to[k] = widen(from[k * step]);
      }
    };
  };
  const void* data = weight.const_data_ptr();
  switch (element) {
    case cpu::Element::kBf16:
      return reader(static_cast<const uint16_t*>(data), bf16_value);
    case cpu::Element::kFp16:
      return reader(static_cast<const c10::Half*>(data), [](c10::Half x) { return static_cast<float>(x); });
    case cpu::Element::kFp32:
      break;
  }
  return reader(static_cast<const float*>(data), [](float x) { return x; });
}

struct Pointers {
  uint8_t* codes;
  uint16_t* scales;
};
Pointers pointers(const at::Tensor& packed, const at::Tensor& scales) {
  return {packed.data_ptr<uint8_t>(), scales.defined() ? static_cast<uint16_t*>(scales.data_ptr()) : nullptr};
}

GroupScale scale_of(const PackedFormat& f, const Pointers& from, Place at, int64_t group) {
  const uint16_t* own = from.scales + at.panel * f.panel_scales() + group * f.group_scales() + at.column;
  return {own[0], f.asymmetric ? own[kPanel] : uint16_t{0}};
}

}  // namespace

const char* scheme_name(PackedScheme scheme) {
  for (const auto& [known, name] : kNames)
    if (known == scheme) return name;
  return "unknown";
}

std::optional<PackedScheme> scheme_of(std::string_view name) {
  for (const auto& [scheme, known] : kNames)
    if (known == name) return scheme;
  return std::nullopt;
}

PackedFormat format_of(const PackOptions& options, int64_t out, int64_t in) {
  PackedFormat f{.scheme = options.scheme, .in = in, .out = out, .gated = options.gated};
  DS_CHECK(in > 0 && out > 0, "packed weight: a weight of [{}, {}] cannot be packed", out, in);
  DS_CHECK(!f.gated || out % 2 == 0, "packed weight: {} outputs cannot be gates and as many ups", out);
  DS_CHECK(in <= cpu::kMostInBytes, "packed weight: {} inputs are more than the {} whose sums fit 32 bits",
           in, cpu::kMostInBytes);
  if (!f.quantized()) return f;
  f.asymmetric = options.asymmetric;
  DS_CHECK(!f.asymmetric || f.scheme != PackedScheme::kFp6,
           "packed weight: fp6 numbers lie around zero; asymmetric are int8, w8a8 and int4");
  f.group = options.group.value_or(f.scheme == PackedScheme::kInt4 ? 32 : 0);
  if (const int64_t a_row = (options.least_scales - 1) / out + 1;
      !options.group && options.least_scales > out) {
    DS_CHECK(a_row <= in / 32,
             "packed weight: {} scales for a weight of [{}, {}] would each stand for fewer than 32 numbers",
             options.least_scales, out, in);
    if (f.group == 0) f.group = std::min<int64_t>(128, in / a_row / 32 * 32);
  }
  DS_CHECK(f.group >= 0 && f.group % 32 == 0 && f.group <= 128,
           "packed weight: groups of {} numbers; want 32, 64, 96, 128, or 0 for the whole row", f.group);
  return f;
}

PackedWeight::PackedWeight(const PackedFormat& f, const std::optional<at::Tensor>& bias) : format_(f) {
  packed_ = empty_huge({f.bytes()}, at::kByte);
  if (f.quantized()) scales_ = empty_huge({f.scales()}, at::kBFloat16);
  if (!bias) return;
  check_vector("packed weight", "bias", *bias, f.out);
  const at::Tensor wide = as_fp32(bias->detach());
  bias_ = at::zeros({f.panels() * kPanel}, at::kFloat);
  for (int64_t n = 0; n < f.out; ++n) {
    const Place at = place(f, n);
    bias_.data_ptr<float>()[at.panel * kPanel + at.column] = wide.const_data_ptr<float>()[n];
  }
}

PackedWeight PackedWeight::pack(const at::Tensor& weight, const PackOptions& options, WeightOrder order,
                                const std::optional<at::Tensor>& bias) {
  const cpu::Element element = checked_element("packed weight", "the weight", weight);
  DS_CHECK(weight.dim() == 2, "packed weight: the weight must have two dimensions, it has [{}]",
           fmt::join(weight.sizes(), ", "));
  const at::Tensor out_in = order == WeightOrder::kOutIn ? weight : weight.t();
  return pack(out_in.size(0), out_in.size(1), rows_of(out_in, element), options, bias);
}

PackedWeight PackedWeight::pack(int64_t out, int64_t in, const RowReader& rows, const PackOptions& options,
                                const std::optional<at::Tensor>& bias) {
  PackedWeight result(format_of(options, out, in), bias);
  const PackedFormat& f = result.format_;
  const Pointers to = pointers(result.packed_, result.scales_);
  // A run of columns that lie one after the other is read at once: those of several panels, or of gates and
  // of ups. Few enough to stay in a processor's cache.
  constexpr int64_t kAtOnce = 8;
  const int64_t halves = f.gated ? 2 : 1, half_panels = f.panels() / halves, half_out = f.out / halves;
  parallel_ranges((half_panels + kAtOnce - 1) / kAtOnce, 1, [&](int64_t begin, int64_t end) {
    PanelWriter writer(f);
    std::vector<float> w(static_cast<size_t>(kAtOnce * kPanel * in));
    for (int64_t first = begin * kAtOnce, last = std::min(end * kAtOnce, half_panels); first < last;
         first += kAtOnce) {
      for (int64_t half = 0; half < halves; ++half) {
        const int64_t row = first * kPanel, most = std::min(last - first, kAtOnce);
        const int64_t count = std::clamp<int64_t>(half_out - row, 0, most * kPanel);
        if (count > 0) rows(half * half_out + row, count, w.data());
        for (int64_t i = 0; i < most; ++i) {
          const int64_t panel = (first + i) * halves + half;
          uint16_t* scales = to.scales ? to.scales + panel * f.panel_scales() : nullptr;
          for (int64_t column = 0; column < kPanel; ++column) {
            if (const int64_t at = i * kPanel + column; at < count)
              writer.column(column, w.data() + at * in, scales);
            else
              writer.no_column(column, scales);
          }
          writer.finish(to.codes + panel * f.panel_bytes());
        }
      }
    }
  });
  return result;
}

PackedWeight PackedWeight::from_codes(const WeightCodes& from, const PackOptions& options,
                                      const std::optional<at::Tensor>& bias) {
  DS_CHECK(from.codes.dim() == 2 && from.codes.scalar_type() == at::kChar && from.codes.is_cpu() &&
               from.codes.is_contiguous(),
           "packed weight: codes must be contiguous int8 [out, in] on the CPU");
  PackedWeight result(format_of(options, from.codes.size(0), from.codes.size(1)), bias);
  const PackedFormat& f = result.format_;
  DS_CHECK(f.quantized(), "packed weight: {} has no codes", scheme_name(f.scheme));
  DS_CHECK(from.scales.sizes() == at::IntArrayRef({f.out, f.groups()}) && from.scales.is_contiguous() &&
               from.scales.scalar_type() == at::kBFloat16 && from.scales.is_cpu(),
           "packed weight: scales must be contiguous bf16 [{}, {}] on the CPU", f.out, f.groups());
  DS_CHECK(from.shifts.defined() == f.asymmetric &&
               (!f.asymmetric || (from.shifts.sizes() == from.scales.sizes() && from.shifts.is_contiguous() &&
                                  from.shifts.scalar_type() == at::kBFloat16 && from.shifts.is_cpu())),
           "packed weight: shifts must be as the scales where it is asymmetric, and not be there otherwise");
  const auto* codes = from.codes.const_data_ptr<int8_t>();
  const auto* scales = static_cast<const uint16_t*>(from.scales.const_data_ptr());
  const auto* shifts = f.asymmetric ? static_cast<const uint16_t*>(from.shifts.const_data_ptr()) : nullptr;
  const int least = f.scheme == PackedScheme::kFp6 ? 0 : f.scheme == PackedScheme::kInt4 ? -8 : -127;
  const int most = f.scheme == PackedScheme::kFp6 ? 63 : f.scheme == PackedScheme::kInt4 ? 7 : 127;
  for (int64_t i = 0; i < f.out * f.in; ++i)
    DS_CHECK(codes[i] >= least && codes[i] <= most, "packed weight: {} is no code of {}", codes[i],
             scheme_name(f.scheme));
  const Pointers to = pointers(result.packed_, result.scales_);
  parallel_ranges(f.panels(), 1, [&](int64_t begin, int64_t end) {
    PanelWriter writer(f);
    for (int64_t p = begin; p < end; ++p) {
      uint16_t* scales_of = to.scales + p * f.panel_scales();
      for (int64_t column = 0; column < kPanel; ++column) {
        const int64_t n = output_at(f, p, column);
        if (n < 0) {
          writer.no_column(column, scales_of);
          continue;
        }
        const int64_t first = n * f.groups();
        writer.column(column, codes + n * f.in, scales + first, shifts ? shifts + first : nullptr, scales_of);
      }
      writer.finish(to.codes + p * f.panel_bytes());
    }
  });
  return result;
}

WeightCodes PackedWeight::codes() const {
  const PackedFormat& f = format_;
  DS_CHECK(f.quantized(), "packed weight: {} has no codes", scheme_name(f.scheme));
  check_host("codes");
  WeightCodes result{at::empty({f.out, f.in}, at::kChar), at::empty({f.out, f.groups()}, at::kBFloat16)};
  if (f.asymmetric) result.shifts = at::empty_like(result.scales);
  auto* codes = result.codes.data_ptr<int8_t>();
  auto* scales = static_cast<uint16_t*>(result.scales.data_ptr());
  auto* shifts = f.asymmetric ? static_cast<uint16_t*>(result.shifts.data_ptr()) : nullptr;
  const Pointers from = pointers(packed_, scales_);
  parallel_ranges(f.out, 16, [&](int64_t begin, int64_t end) {
    for (int64_t n = begin; n < end; ++n) {
      const Place at = place(f, n);
      const uint8_t* panel = from.codes + at.panel * f.panel_bytes();
      for (int64_t k = 0; k < f.in; ++k) codes[n * f.in + k] = get_code(f.scheme, panel, k, at.column);
      for (int64_t g = 0; g < f.groups(); ++g) {
        const GroupScale of = scale_of(f, from, at, g);
        scales[n * f.groups() + g] = of.scale;
        if (shifts) shifts[n * f.groups() + g] = of.shift;
      }
    }
  });
  return result;
}

namespace {

void read_row(const PackedFormat& f, const Pointers& from, int64_t output, float* to) {
  const Place at = place(f, output);
  const uint8_t* panel = from.codes + at.panel * f.panel_bytes();
  for (int64_t k = 0; k < f.in; ++k) {
    if (f.scheme == PackedScheme::kFp32) {
      to[k] = reinterpret_cast<const float*>(panel)[k * kPanel + at.column];
    } else if (f.scheme == PackedScheme::kBf16) {
      to[k] = bf16_value(reinterpret_cast<const uint16_t*>(panel)[cpu::bf16_place(k, at.column)]);
    } else {
      const int64_t group = f.group > 0 ? k / f.group : 0;
      const GroupScale of = scale_of(f, from, at, group);
      to[k] = bf16_value(of.scale) * code_value(f.scheme, get_code(f.scheme, panel, k, at.column)) +
              bf16_value(of.shift);
    }
  }
}

}  // namespace

at::Tensor PackedWeight::dequantize() const {
  if (!device().is_cpu()) return dequantize_on_device(*this, at::kFloat);
  const at::Tensor result = at::empty({format_.out, format_.in}, at::kFloat);
  float* w = result.data_ptr<float>();
  const Pointers from = pointers(packed_, scales_);
  parallel_ranges(format_.out, 16, [&](int64_t begin, int64_t end) {
    for (int64_t n = begin; n < end; ++n) read_row(format_, from, n, w + n * format_.in);
  });
  return result;
}

at::Tensor PackedWeight::rows(const at::Tensor& ids, at::ScalarType type) const {
  if (!device().is_cpu()) return rows_on_device(*this, ids, type);
  const at::Tensor list = ids.contiguous();
  DS_CHECK(list.scalar_type() == at::kLong && list.is_cpu(),
           "packed weight: rows are named by int64 on the CPU");
  const auto* wanted = list.const_data_ptr<int64_t>();
  std::vector<int64_t> shape = list.sizes().vec();
  shape.push_back(format_.in);
  const at::Tensor result = at::empty(shape, at::kFloat);
  float* w = result.data_ptr<float>();
  const Pointers from = pointers(packed_, scales_);
  for (int64_t i = 0; i < list.numel(); ++i)
    DS_CHECK(wanted[i] >= 0 && wanted[i] < format_.out, "packed weight: there is no row {} of {}", wanted[i],
             format_.out);
  parallel_ranges(list.numel(), 16, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) read_row(format_, from, wanted[i], w + i * format_.in);
  });
  return result.to(type);
}

at::Tensor PackedWeight::bias() const {
  if (!bias_.defined()) return {};
  check_host("bias");
  const at::Tensor result = at::empty({format_.out}, at::kFloat);
  for (int64_t n = 0; n < format_.out; ++n) {
    const Place at = place(format_, n);
    result.data_ptr<float>()[n] = bias_.const_data_ptr<float>()[at.panel * kPanel + at.column];
  }
  return result;
}

PackedWeight PackedWeight::clone() const {
  check_host("copy");
  PackedWeight copy = *this;
  copy.packed_ = empty_huge(packed_.sizes(), at::kByte).copy_(packed_);
  for (at::Tensor* t : {&copy.scales_, &copy.bias_})
    if (t->defined()) *t = t->clone();
  return copy;
}

void PackedWeight::check_host(const char* what) const {
  DS_CHECK(device().is_cpu(), "packed weight: one on {} gives no {}; those on the CPU do", device().str(),
           what);
}

PackedWeight PackedWeight::to(at::Device device) const {
  if (device == this->device()) return *this;
  check_host("copy for another device");
  PackedWeight copy = *this;
  if (bias_.defined()) copy.bias_ = bias().to(device);
  if (!format_.quantized()) {
    copy.packed_ =
        dequantize().to(device, format_.scheme == PackedScheme::kFp32 ? at::kFloat : at::kBFloat16);
    return copy;
  }
  const WeightCodes held = codes();
  copy.packed_ = device_codes(format_.scheme, held.codes).to(device);
  copy.scales_ = (format_.asymmetric ? at::stack({held.scales, held.shifts}) : held.scales).to(device);
  return copy;
}

int64_t PackedWeight::bytes() const {
  if (!device().is_cpu())
    return static_cast<int64_t>(packed_.nbytes() + (scales_.defined() ? scales_.nbytes() : 0));
  return format_.bytes() + 2 * format_.scales();
}

}  // namespace deepspeed::ops
