// Sets of Unicode code points.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "deepspeed/text/unicode_tables.h"

namespace deepspeed::text {

class CodePointSet {
 public:
  CodePointSet() = default;
  /// `ranges` sorted and disjoint.
  CodePointSet(const CodePointRange* ranges, size_t count) : ranges_(ranges, ranges + count) {}

  static CodePointSet all() { return of(0, 0x10FFFF); }
  static CodePointSet of(uint32_t first, uint32_t last);
  /// A general category ("Lu") or a group of them ("L"); nothing when there is no such category.
  static std::optional<CodePointSet> of_category(std::string_view name);

  void add(uint32_t first, uint32_t last);
  void add(const CodePointSet& other);
  CodePointSet complement() const;
  bool contains(uint32_t code_point) const;
  /// Sorted, disjoint and not adjacent.
  const std::vector<CodePointRange>& ranges() const { return ranges_; }

 private:
  void normalize();
  std::vector<CodePointRange> ranges_;
};

/// Whether lstrip, rstrip and trim_offsets count the code point as a space.
bool is_white_space(uint32_t code_point);
/// Whether the code point next to a single_word token makes it part of a longer word.
bool is_word_character(uint32_t code_point);

}  // namespace deepspeed::text
