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

PackedFormat checked_format(const PackOptions& options, int64_t in, int64_t out) {
  PackedFormat f{options.scheme, in, out, 0, options.gated};
  DS_CHECK(in > 0 && out > 0, "packed weight: a weight of [{}, {}] cannot be packed", out, in);
  DS_CHECK(!f.gated || out % 2 == 0, "packed weight: {} outputs cannot be gates and as many ups", out);
  DS_CHECK(in <= cpu::kMostInBytes, "packed weight: {} inputs are more than the {} whose sums fit 32 bits",
           in, cpu::kMostInBytes);
  if (!f.quantized()) return f;
  f.group = options.group.value_or(f.scheme == PackedScheme::kInt4 ? 32 : 0);
  DS_CHECK(f.group >= 0 && f.group % 32 == 0 && f.group <= 128,
           "packed weight: groups of {} numbers; want 32, 64, 96, 128, or 0 for the whole row", f.group);
  return f;
}

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

// Elements of [out, in] of any strides, as fp32.
struct Source {
  cpu::Element element;
  const char* data;
  int64_t out_stride, in_stride;

  void read(int64_t output, int64_t count, float* to) const {
    const auto all = [&]<class T>(const T* from, auto&& widen) {
      from += output * out_stride;
      for (int64_t k = 0; k < count; ++k) to[k] = widen(from[k * in_stride]);
    };
    switch (element) {
      case cpu::Element::kFp32:
        return all(reinterpret_cast<const float*>(data), [](float x) { return x; });
      case cpu::Element::kBf16:
        return all(reinterpret_cast<const uint16_t*>(data), bf16_value);
      case cpu::Element::kFp16:
        return all(reinterpret_cast<const c10::Half*>(data),
                   [](c10::Half x) { return static_cast<float>(x); });
    }
  }
};

void pack_column(const PackedFormat& f, const float* w, int64_t column, uint8_t* panel, uint16_t* scales,
                 std::vector<int8_t>& codes) {
  if (f.scheme == PackedScheme::kFp32) {
    for (int64_t k = 0; k < f.in; ++k) reinterpret_cast<float*>(panel)[k * kPanel + column] = w[k];
    return;
  }
  if (f.scheme == PackedScheme::kBf16) {
    for (int64_t k = 0; k < f.in; ++k)
      reinterpret_cast<uint16_t*>(panel)[cpu::bf16_place(k, column)] = nearest_bf16(w[k]);
    return;
  }
  const int64_t group = f.group > 0 ? f.group : f.in;
  for (int64_t g = 0; g < f.groups(); ++g)
    scales[g * kPanel + column] =
        quantize_group(f.scheme, w + g * group, std::min(group, f.in - g * group), codes.data() + g * group);
  for (int64_t k = 0; k < f.padded_in(); ++k)
    put_code(f.scheme, panel, k, column, codes[static_cast<size_t>(k)]);
}

// Columns that fill a panel up are zeros as well.
void pack_panel(const PackedFormat& f, const Source& source, int64_t panel, uint8_t* to, uint16_t* scales) {
  std::vector<float> w(static_cast<size_t>(f.in));
  std::vector<int8_t> codes(static_cast<size_t>(f.padded_in()));
  std::memset(to, 0, static_cast<size_t>(f.panel_bytes()));
  for (int64_t column = 0; column < kPanel; ++column) {
    const int64_t output = output_at(f, panel, column);
    if (output >= 0)
      source.read(output, f.in, w.data());
    else
      std::fill(w.begin(), w.end(), 0.0f);
    pack_column(f, w.data(), column, to, scales, codes);
  }
}

struct Pointers {
  uint8_t* codes;
  uint16_t* scales;
};
Pointers pointers(const at::Tensor& packed, const at::Tensor& scales) {
  return {packed.data_ptr<uint8_t>(), scales.defined() ? static_cast<uint16_t*>(scales.data_ptr()) : nullptr};
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
  PackedWeight result(checked_format(options, out_in.size(1), out_in.size(0)), bias);
  const PackedFormat& f = result.format_;
  const Source source{element, static_cast<const char*>(out_in.const_data_ptr()), out_in.stride(0),
                      out_in.stride(1)};
  const Pointers to = pointers(result.packed_, result.scales_);
  parallel_ranges(f.panels(), 1, [&](int64_t begin, int64_t end) {
    for (int64_t p = begin; p < end; ++p)
      pack_panel(f, source, p, to.codes + p * f.panel_bytes(),
                 to.scales ? to.scales + p * f.groups() * kPanel : nullptr);
  });
  return result;
}

PackedWeight PackedWeight::from_codes(const WeightCodes& from, const PackOptions& options,
                                      const std::optional<at::Tensor>& bias) {
  DS_CHECK(from.codes.dim() == 2 && from.codes.scalar_type() == at::kChar && from.codes.is_cpu() &&
               from.codes.is_contiguous(),
           "packed weight: codes must be contiguous int8 [out, in] on the CPU");
  PackedWeight result(checked_format(options, from.codes.size(1), from.codes.size(0)), bias);
  const PackedFormat& f = result.format_;
  DS_CHECK(f.quantized(), "packed weight: {} has no codes", scheme_name(f.scheme));
  DS_CHECK(from.scales.sizes() == at::IntArrayRef({f.out, f.groups()}) && from.scales.is_contiguous() &&
               from.scales.scalar_type() == at::kBFloat16 && from.scales.is_cpu(),
           "packed weight: scales must be contiguous bf16 [{}, {}] on the CPU", f.out, f.groups());
  const auto* codes = from.codes.const_data_ptr<int8_t>();
  const auto* scales = static_cast<const uint16_t*>(from.scales.const_data_ptr());
  const int least = f.scheme == PackedScheme::kFp6 ? 0 : f.scheme == PackedScheme::kInt4 ? -8 : -127;
  const int most = f.scheme == PackedScheme::kFp6 ? 63 : f.scheme == PackedScheme::kInt4 ? 7 : 127;
  for (int64_t i = 0; i < f.out * f.in; ++i)
    DS_CHECK(codes[i] >= least && codes[i] <= most, "packed weight: {} is no code of {}", codes[i],
             scheme_name(f.scheme));
  const Pointers to = pointers(result.packed_, result.scales_);
  parallel_ranges(f.panels(), 1, [&](int64_t begin, int64_t end) {
    for (int64_t p = begin; p < end; ++p) {
      uint8_t* panel = to.codes + p * f.panel_bytes();
      std::memset(panel, 0, static_cast<size_t>(f.panel_bytes()));
      for (int64_t column = 0; column < kPanel; ++column) {
        const int64_t n = output_at(f, p, column);
        for (int64_t k = 0; k < f.padded_in(); ++k)
          put_code(f.scheme, panel, k, column, n >= 0 && k < f.in ? codes[n * f.in + k] : int8_t{0});
        for (int64_t g = 0; g < f.groups(); ++g)
          to.scales[(p * f.groups() + g) * kPanel + column] =
              n >= 0 ? scales[n * f.groups() + g] : uint16_t{0};
      }
    }
  });
  return result;
}

WeightCodes PackedWeight::codes() const {
  const PackedFormat& f = format_;
  DS_CHECK(f.quantized(), "packed weight: {} has no codes", scheme_name(f.scheme));
  WeightCodes result{at::empty({f.out, f.in}, at::kChar), at::empty({f.out, f.groups()}, at::kBFloat16)};
  auto* codes = result.codes.data_ptr<int8_t>();
  auto* scales = static_cast<uint16_t*>(result.scales.data_ptr());
  const Pointers from = pointers(packed_, scales_);
  parallel_ranges(f.out, 16, [&](int64_t begin, int64_t end) {
    for (int64_t n = begin; n < end; ++n) {
      const Place at = place(f, n);
      const uint8_t* panel = from.codes + at.panel * f.panel_bytes();
      for (int64_t k = 0; k < f.in; ++k) codes[n * f.in + k] = get_code(f.scheme, panel, k, at.column);
      for (int64_t g = 0; g < f.groups(); ++g)
        scales[n * f.groups() + g] = from.scales[(at.panel * f.groups() + g) * kPanel + at.column];
    }
  });
  return result;
}

at::Tensor PackedWeight::dequantize() const {
  const PackedFormat& f = format_;
  const at::Tensor result = at::empty({f.out, f.in}, at::kFloat);
  float* w = result.data_ptr<float>();
  const Pointers from = pointers(packed_, scales_);
  parallel_ranges(f.out, 16, [&](int64_t begin, int64_t end) {
    for (int64_t n = begin; n < end; ++n) {
      const Place at = place(f, n);
      const uint8_t* panel = from.codes + at.panel * f.panel_bytes();
      for (int64_t k = 0; k < f.in; ++k) {
        float& to = w[n * f.in + k];
        if (f.scheme == PackedScheme::kFp32) {
          to = reinterpret_cast<const float*>(panel)[k * kPanel + at.column];
        } else if (f.scheme == PackedScheme::kBf16) {
          to = bf16_value(reinterpret_cast<const uint16_t*>(panel)[cpu::bf16_place(k, at.column)]);
        } else {
          const int64_t group = f.group > 0 ? k / f.group : 0;
          to = bf16_value(from.scales[(at.panel * f.groups() + group) * kPanel + at.column]) *
               code_value(f.scheme, get_code(f.scheme, panel, k, at.column));
        }
      }
    }
  });
  return result;
}

at::Tensor PackedWeight::bias() const {
  if (!bias_.defined()) return {};
  const at::Tensor result = at::empty({format_.out}, at::kFloat);
  for (int64_t n = 0; n < format_.out; ++n) {
    const Place at = place(format_, n);
    result.data_ptr<float>()[n] = bias_.const_data_ptr<float>()[at.panel * kPanel + at.column];
  }
  return result;
}

PackedWeight PackedWeight::clone() const {
  PackedWeight copy = *this;
  copy.packed_ = empty_huge(packed_.sizes(), at::kByte).copy_(packed_);
  for (at::Tensor* t : {&copy.scales_, &copy.bias_})
    if (t->defined()) *t = t->clone();
  return copy;
}

int64_t PackedWeight::bytes() const { return format_.bytes() + 2 * format_.scales(); }

}  // namespace deepspeed::ops
