// A panel of packed weights, made column by column. Torch-free.
#pragma once

#include <cstdint>
#include <vector>

#include "deepspeed/ops/cpu/packed_format.h"
#include "deepspeed/ops/packed_codes.h"

namespace deepspeed::ops {

class PanelWriter {
 public:
  explicit PanelWriter(const cpu::PackedFormat& format);

  /// Column `column` of the next panel from its `in` numbers, whose scales go to the panel's.
  void column(int64_t column, const float* w, uint16_t* scales);
  /// The same from its `in` codes and what its groups share; shifts are null where there are none.
  void column(int64_t column, const int8_t* codes, const uint16_t* group_scales, const uint16_t* group_shifts,
              uint16_t* scales);
  /// One that only fills the panel up.
  void no_column(int64_t column, uint16_t* scales);
  /// Writes the panel, once all 16 columns are given.
  void finish(uint8_t* panel) const;

 private:
  void set_scale(uint16_t* scales, int64_t group, int64_t column, GroupScale of) const;

  cpu::PackedFormat f_;
  int64_t words_;                  // 32 bits each, of a column
  std::vector<uint32_t> columns_;  // [16][words]
  std::vector<int8_t> codes_;      // of one column, zeros behind its last
};

}  // namespace deepspeed::ops
