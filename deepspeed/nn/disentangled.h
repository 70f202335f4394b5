// Disentangled attention: scores between contents and relative positions, beside those between contents.
// Source: He et al., "DeBERTa" (2021), section 3.1, and its version 2's logarithmic buckets.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace deepspeed::nn {

/// Which of the scores are added, and from which projections distances come.
struct DisentangledParts {
  bool content_to_position = true, position_to_content = true;
  bool shared_projections = true;  // those of queries and keys, else a pair of their own
};

/// How distances share the 2 * span rows of a table: distance d (query - key) has row span + d, but no row
/// lies outside. In buckets, distances beyond span / 2 share rows by their logarithm, up to max_distance.
struct DistanceTable {
  int64_t span = 0, max_distance = 0;
  bool buckets = false;
};
/// The row of each query's distance to each key, int64 [length, length]. As transformers computes it, in
/// fp32.
at::Tensor distance_rows(int64_t length, const DistanceTable& table);

/// What all layers of an encoder share: the embeddings of distances [2 * span, hidden] and distance_rows().
struct Distances {
  at::Tensor embeddings{}, rows{};
};

/// Distances as one layer has projected them: [2 * span, heads, D], each undefined where it is not wanted.
struct ProjectedDistances {
  at::Tensor keys, queries, rows;
};
/// [B, H, T, T] of queries and keys [B, H, T, D], unscaled: q_i . keys[rows(i, j)] + k_j . queries[rows(i,
/// j)].
at::Tensor disentangled_scores(const at::Tensor& q, const at::Tensor& k, const ProjectedDistances& distances);

/// Whether positions are padding, bool [B, T], which begins at `ends` (int32 [B]) in each row.
at::Tensor is_padding(const at::Tensor& ends, int64_t length);
/// What attention gives, `mixed` [B, H, T, D], where padding looks at all values [B, H, T, D] alike, as
/// transformers hides every key from it. Only losses that count padding notice: those of answers do.
at::Tensor with_blind_padding(const at::Tensor& mixed, const at::Tensor& values, const at::Tensor& ends);

}  // namespace deepspeed::nn
