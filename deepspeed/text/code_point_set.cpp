#include "deepspeed/text/code_point_set.h"

#include <algorithm>

namespace deepspeed::text {
namespace {

constexpr uint32_t kLastCodePoint = 0x10FFFF;

bool in_ranges(const CodePointRange* ranges, size_t count, uint32_t code_point) {
  const auto* end = ranges + count;
  const auto* at = std::lower_bound(ranges, end, code_point, [](const CodePointRange& range, uint32_t value) {
    return range.last < value;
  });
  return at != end && at->first <= code_point;
}

}  // namespace

CodePointSet CodePointSet::of(uint32_t first, uint32_t last) {
  CodePointSet set;
  set.ranges_.push_back({first, last});
  return set;
}

std::optional<CodePointSet> CodePointSet::of_category(std::string_view name) {
  if (name.empty() || name.size() > 2) return std::nullopt;
  CodePointSet set;
  for (size_t i = 0; i < kCategoryRunCount; ++i) {
    if (!std::string_view(kCategoryRuns[i].category).starts_with(name)) continue;
    const uint32_t last = i + 1 < kCategoryRunCount ? kCategoryRuns[i + 1].first - 1 : kLastCodePoint;
    set.ranges_.push_back({kCategoryRuns[i].first, last});
  }
  if (set.ranges_.empty()) return std::nullopt;
  set.normalize();
  return set;
}

void CodePointSet::add(uint32_t first, uint32_t last) {
  ranges_.push_back({first, last});
  normalize();
}

void CodePointSet::add(const CodePointSet& other) {
  ranges_.insert(ranges_.end(), other.ranges_.begin(), other.ranges_.end());
  normalize();
}

void CodePointSet::normalize() {
  std::sort(ranges_.begin(), ranges_.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  std::vector<CodePointRange> merged;
  for (const CodePointRange& range : ranges_) {
    if (!merged.empty() && range.first <= merged.back().last + 1) {
      merged.back().last = std::max(merged.back().last, range.last);
    } else {
      merged.push_back(range);
    }
  }
  ranges_ = std::move(merged);
}

CodePointSet CodePointSet::complement() const {
  CodePointSet set;
  uint32_t next = 0;
  for (const CodePointRange& range : ranges_) {
    if (range.first > next) set.ranges_.push_back({next, range.first - 1});
    next = range.last + 1;
  }
  if (next <= kLastCodePoint) set.ranges_.push_back({next, kLastCodePoint});
  return set;
}

bool CodePointSet::contains(uint32_t code_point) const {
  return in_ranges(ranges_.data(), ranges_.size(), code_point);
}

bool is_white_space(uint32_t code_point) {
  return in_ranges(kWhiteSpaceRanges, kWhiteSpaceRangeCount, code_point);
}

bool is_word_character(uint32_t code_point) {
  return in_ranges(kWordCharacterRanges, kWordCharacterRangeCount, code_point);
}

}  // namespace deepspeed::text
