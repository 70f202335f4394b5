// Which gradients are reduced together, in which order: a pure function of the layout, the same on every
// rank.
#pragma once

#include <cstdint>
#include <vector>

#include "deepspeed/partition/layout.h"

namespace deepspeed::zero {

/// Whole parameters [first_param, last_param), that is elements [begin, end) of the concatenation.
struct Bucket {
  size_t first_param = 0, last_param = 0;
  int64_t begin = 0, end = 0;
  bool operator==(const Bucket&) const = default;
};

/// Buckets of at most `bucket_elements` (a larger parameter has its own), in the order in which backward
/// completes them: the last parameters first. Every parameter is in exactly one.
std::vector<Bucket> plan_buckets(const partition::Layout& layout, int64_t bucket_elements);

/// How many of the bucket's elements each rank of a concatenated layout owns; sums to end - begin.
std::vector<int64_t> owner_splits(const Bucket& bucket, const partition::Layout& layout);

}  // namespace deepspeed::zero
