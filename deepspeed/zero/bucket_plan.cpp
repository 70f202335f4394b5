#include "deepspeed/zero/bucket_plan.h"

#include <algorithm>

#include "deepspeed/base/error.h"

namespace deepspeed::zero {
namespace {

using partition::Layout;

// Elements of a parameter as it travels.
int64_t travelling(const Layout& layout, size_t param) {
  return layout.is_concatenated() ? layout.params()[param].numel
                                  : layout.part_numel(param) * layout.world_size();
}

// A stretch of the concatenation is already in the order of its owners.
void lay_out_concatenated(Bucket& bucket, const Layout& layout) {
  const int64_t begin = layout.flat_offset(bucket.first_param), end = begin + bucket.numel;
  for (size_t p = bucket.first_param; p < bucket.last_param; ++p)
    bucket.runs.push_back(
        {{.begin = 0, .count = layout.params()[p].numel, .place = layout.flat_offset(p) - begin}});
  for (int rank = 0; rank < layout.world_size(); ++rank) {
    const int64_t shard = rank * layout.shard_numel();
    const int64_t from = std::clamp(shard, begin, end);
    const int64_t to = std::clamp(shard + layout.shard_numel(), begin, end);
    bucket.slices.push_back(
        {.place = from - begin, .count = to - from, .shard_offset = to > from ? from - shard : 0});
  }
}

// Every rank's parts end to end, rank after rank.
void lay_out_per_parameter(Bucket& bucket, const Layout& layout) {
  const int64_t first = layout.part_offset(bucket.first_param);
  const int64_t slice = bucket.numel / layout.world_size();
  bucket.runs.resize(bucket.last_param - bucket.first_param);
  for (int rank = 0; rank < layout.world_size(); ++rank) {
    bucket.slices.push_back({.place = rank * slice, .count = slice, .shard_offset = first});
    for (size_t p = bucket.first_param; p < bucket.last_param; ++p) {
      const int64_t numel = layout.params()[p].numel, part = layout.part_numel(p);
      const int64_t begin = std::min(numel, rank * part), count = std::min(numel - begin, part);
      const int64_t place = rank * slice + layout.part_offset(p) - first;
      if (count > 0)
        bucket.runs[p - bucket.first_param].push_back({.begin = begin, .count = count, .place = place});
      if (count < part) bucket.padding.push_back({.begin = 0, .count = part - count, .place = place + count});
    }
  }
}

}  // namespace

std::vector<int64_t> Bucket::splits() const {
  std::vector<int64_t> counts;
  for (const Slice& slice : slices) counts.push_back(slice.count);
  return counts;
}

std::vector<Bucket> plan_buckets(const Layout& layout, int64_t bucket_elements) {
  DS_CHECK(bucket_elements > 0, "zero_optimization.reduce_bucket_size must be positive, got {}",
           bucket_elements);
  std::vector<Bucket> buckets;
  for (size_t p = layout.params().size(); p-- > 0;) {
    const int64_t numel = travelling(layout, p);
    if (buckets.empty() || buckets.back().numel + numel > bucket_elements)
      buckets.push_back({.last_param = p + 1});
    buckets.back().first_param = p;
    buckets.back().numel += numel;
  }
  for (Bucket& bucket : buckets)
    layout.is_concatenated() ? lay_out_concatenated(bucket, layout) : lay_out_per_parameter(bucket, layout);
  return buckets;
}

}  // namespace deepspeed::zero
