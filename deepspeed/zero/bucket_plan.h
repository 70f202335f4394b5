// Which gradients are reduced together, in which order, and how they lie in the buffer that travels: a pure
// function of the layout, the same on every rank.
#pragma once

#include <cstdint>
#include <vector>

#include "deepspeed/partition/layout.h"

namespace deepspeed::zero {

/// Elements [begin, begin + count) of a parameter, and where they lie in the bucket.
struct BucketRun {
  int64_t begin = 0, count = 0, place = 0;
  bool operator==(const BucketRun&) const = default;
};

/// Whole parameters [first_param, last_param) as they travel: the owners' slices in rank order, so that a
/// reduce-scatter leaves each rank what it owns.
struct Bucket {
  /// What one rank owns: `count` elements from `place` on in the bucket, from `shard_offset` on in its shard.
  struct Slice {
    int64_t place = 0, count = 0, shard_offset = 0;
    bool operator==(const Slice&) const = default;
  };

  size_t first_param = 0, last_param = 0;
  int64_t numel = 0;                         // padding included
  std::vector<std::vector<BucketRun>> runs;  // of first_param, first_param + 1, ...
  std::vector<Slice> slices;                 // by rank; one after the other they are the bucket
  /// Elements within no run, as runs: padding.
  std::vector<BucketRun> padding;

  std::vector<int64_t> splits() const;  // the slices' counts
};

/// Buckets of at most `bucket_elements` (a larger parameter has its own), in the order in which backward
/// completes them: the last parameters first. Every parameter is in exactly one. In a concatenated layout a
/// bucket is the run of the concatenation that starts at its first parameter's flat_offset().
std::vector<Bucket> plan_buckets(const partition::Layout& layout, int64_t bucket_elements);

}  // namespace deepspeed::zero
