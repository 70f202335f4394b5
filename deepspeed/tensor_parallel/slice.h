// What one rank holds of one parameter, and where that stands in the whole: pure arithmetic.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

namespace deepspeed::tensor_parallel {

struct Range {
  int64_t begin = 0, count = 0;
  int64_t end() const { return begin + count; }
  bool operator==(const Range&) const = default;
};

/// Elements that lie one after the other in both: `count` from `slice` in the flattened slice stand at
/// `whole` in the flattened parameter.
struct Stretch {
  int64_t slice, whole, count;
  bool operator==(const Stretch&) const = default;
};

/// All of a parameter, or of one of its dimensions these ranges, one after the other.
struct Slice {
  std::vector<int64_t> whole;  // the parameter's shape
  std::optional<size_t> dim;   // that is cut; nothing: the rank holds all of it
  std::vector<Range> ranges;   // of that dimension

  std::vector<int64_t> shape() const;
  int64_t numel() const;
  /// Where elements [begin, begin + count) of the flattened slice stand: the fewest stretches, in the slice's
  /// order.
  std::vector<Stretch> stretches(int64_t begin, int64_t count) const;
};

}  // namespace deepspeed::tensor_parallel
