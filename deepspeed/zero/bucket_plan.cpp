#include "deepspeed/zero/bucket_plan.h"

#include <algorithm>

#include "deepspeed/base/error.h"

namespace deepspeed::zero {

std::vector<Bucket> plan_buckets(const partition::Layout& layout, int64_t bucket_elements) {
  DS_CHECK(bucket_elements > 0, "zero_optimization.reduce_bucket_size must be positive, got {}",
           bucket_elements);
  std::vector<Bucket> buckets;
  for (size_t p = layout.params().size(); p-- > 0;) {
    const int64_t begin = layout.flat_offset(p), end = begin + layout.params()[p].numel;
    if (!buckets.empty() && buckets.back().end - begin <= bucket_elements) {
      buckets.back().first_param = p;
      buckets.back().begin = begin;
    } else {
      buckets.push_back({.first_param = p, .last_param = p + 1, .begin = begin, .end = end});
    }
  }
  return buckets;
}

std::vector<int64_t> owner_splits(const Bucket& bucket, const partition::Layout& layout) {
  std::vector<int64_t> splits;
  for (int rank = 0; rank < layout.world_size(); ++rank) {
    const int64_t from = std::max(bucket.begin, rank * layout.shard_numel());
    const int64_t to = std::min(bucket.end, (rank + 1) * layout.shard_numel());
    splits.push_back(std::max<int64_t>(0, to - from));
  }
  return splits;
}

}  // namespace deepspeed::zero
