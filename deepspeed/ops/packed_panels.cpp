#include "deepspeed/ops/packed_panels.h"

#include <algorithm>
#include <cstring>

#include "deepspeed/ops/packed_codes.h"

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
    scales[g * kPanel + column] = quantize_group(f_.scheme, w + g * group, std::min(group, f_.in - g * group),
                                                 codes_.data() + g * group);
  write_column(f_.scheme, codes_.data(), f_.padded_in(), words);
}

void PanelWriter::column(int64_t column, const int8_t* codes) {
  std::copy_n(codes, f_.in, codes_.begin());
  write_column(f_.scheme, codes_.data(), f_.padded_in(), columns_.data() + column * words_);
}

void PanelWriter::no_column(int64_t column, uint16_t* scales) {
  const std::vector<float> zeros(static_cast<size_t>(f_.in));
  this->column(column, zeros.data(), scales);
}

void PanelWriter::finish(uint8_t* panel) const { interleave_columns(columns_.data(), words_, panel); }

}  // namespace deepspeed::ops
