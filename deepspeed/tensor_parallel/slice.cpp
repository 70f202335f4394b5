#include "deepspeed/tensor_parallel/slice.h"

#include <algorithm>
#include <functional>
#include <numeric>

namespace deepspeed::tensor_parallel {
namespace {

int64_t product(std::vector<int64_t>::const_iterator begin, std::vector<int64_t>::const_iterator end) {
  return std::accumulate(begin, end, int64_t{1}, std::multiplies<>());
}

void append(std::vector<Stretch>& stretches, Stretch next) {
  if (next.count == 0) return;
  if (!stretches.empty() && stretches.back().whole + stretches.back().count == next.whole)
    stretches.back().count += next.count;
  else
    stretches.push_back(next);
}

}  // namespace

std::vector<int64_t> Slice::shape() const {
  std::vector<int64_t> sizes = whole;
  if (!dim) return sizes;
  sizes[*dim] = 0;
  for (const Range& range : ranges) sizes[*dim] += range.count;
  return sizes;
}

int64_t Slice::numel() const {
  const std::vector<int64_t> sizes = shape();
  return product(sizes.begin(), sizes.end());
}

std::vector<Stretch> Slice::stretches(int64_t begin, int64_t count) const {
  if (!dim) return {{begin, begin, count}};
  const auto cut = static_cast<std::ptrdiff_t>(*dim);
  const int64_t inner = product(whole.begin() + cut + 1, whole.end());
  const int64_t whole_row = whole[*dim] * inner, row = shape()[*dim] * inner;
  std::vector<Stretch> found;
  if (row == 0) return found;
  const int64_t end = begin + count;
  for (int64_t outer = begin / row; outer * row < end; ++outer) {
    int64_t at = outer * row;  // in the slice
    for (const Range& range : ranges) {
      const int64_t from = std::max(at, begin), to = std::min(at + range.count * inner, end);
      if (from < to) append(found, {from, outer * whole_row + range.begin * inner + from - at, to - from});
      at += range.count * inner;
    }
  }
  return found;
}

}  // namespace deepspeed::tensor_parallel
