// Relative positions as a learned number a head, added to attention's scores: Raffel et al., "T5" (2020),
// section 2.1.
#pragma once

#include "deepspeed/nn/block.h"

namespace deepspeed::nn {

struct RelativeBiasConfig {
  int64_t buckets = 32;        // of distances; both ways: half of them each way
  int64_t max_distance = 128;  // from there on all distances share the last one
  int64_t heads = 0;
  bool both_ways = true;  // else keys after the query are all at distance 0
  Init init{};
};

/// The bucket of key - query, int64 of any shape: one of its own for each of the nearer half, then wider and
/// wider ones by the logarithm. As transformers computes it, in fp32.
at::Tensor relative_buckets(const at::Tensor& distances, const RelativeBiasConfig& config);

/// One table, "weight" [buckets, heads], that all layers of a stack share.
class RelativeBias : public BlockModule<RelativeBias> {
 public:
  explicit RelativeBias(const RelativeBiasConfig& config);
  /// The bias [1, heads, queries, keys] of queries that are the last ones of `keys` positions.
  at::Tensor compute(int64_t queries, int64_t keys);

 private:
  RelativeBiasConfig config_;
  at::Tensor weight_;
};

}  // namespace deepspeed::nn
