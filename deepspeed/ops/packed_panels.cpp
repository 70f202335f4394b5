#include "deepspeed/ops/packed_panels.h"

#include <algorithm>
#include <cstring>

namespace deepspeed::ops {

using cpu::kPanel;
using cpu::PackedScheme;

PanelWriter::PanelWriter(const cpu::PackedFormat& format)
    : f_(format),
      words_(column_words(format)),
      columns_(static_cast<size_t>(words_ * kPanel)),
      codes_(static_cast<size_t>(format.padded_in())) {}

void PanelWriter::column(int64_t column, const float* w, uint16_t* scales) {
  uint32_t* words = columns_.data() + column * words_;
  if (f_.scheme == PackedScheme::kFp32) {
    std::memcpy(words, w, static_cast<size_t>(f_.in) * sizeof(float));
    return;
  }
  if (f_.scheme == PackedScheme::kBf16) {
    round_to_bf16(w, f_.in, reinterpret_cast<uint16_t*>(words));
    return;
  }
  const int64_t group = f_.group > 0 ? f_.group : f_.in;
  for (int64_t g = 0; g < f_.groups(); ++g)
    set_scale(scales, g, column,
              quantize_group(f_.scheme, f_.asymmetric, w + g * group, std::min(group, f_.in - g * group),
                             codes_.data() + g * group));
  write_column(f_.scheme, codes_.data(), f_.padded_in(), words);
}

void PanelWriter::set_scale(uint16_t* scales, int64_t group, int64_t column, GroupScale of) const {
  uint16_t* own = scales + group * f_.group_scales() + column;
  own[0] = of.scale;
  if (f_.asymmetric) own[kPanel] = of.shift;
}

void PanelWriter::column(int64_t column, const int8_t* codes, const uint16_t* group_scales,
                         const uint16_t* group_shifts, uint16_t* scales) {
  for (int64_t g = 0; g < f_.groups(); ++g)
    set_scale(scales, g, column, {group_scales[g], group_shifts ? group_shifts[g] : uint16_t{0}});
  std::copy_n(codes, f_.in, codes_.begin());
  write_column(f_.scheme, codes_.data(), f_.padded_in(), columns_.data() + column * words_);
}

void PanelWriter::no_column(int64_t column, uint16_t* scales) {
  std::fill_n(columns_.data() + column * words_, words_, uint32_t{0});
  if (!f_.quantized()) return;
  std::fill(codes_.begin(), codes_.end(), int8_t{0});
  for (int64_t g = 0; g < f_.groups(); ++g) set_scale(scales, g, column, {});
  write_column(f_.scheme, codes_.data(), f_.padded_in(), columns_.data() + column * words_);
}

void PanelWriter::finish(uint8_t* panel) const { interleave_columns(columns_.data(), words_, panel); }

}  // namespace deepspeed::ops
