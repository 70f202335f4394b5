// Arithmetic over one row of scores, in which -infinity means "not to be chosen". Torch-free.
#pragma once

#include <cstdint>
#include <limits>
#include <span>
#include <vector>

namespace deepspeed::inference {

constexpr float kBanned = -std::numeric_limits<float>::infinity();

/// The largest score; kBanned for a row without any. NaN is passed over.
float largest(std::span<const float> row);
/// The first of the largest scores' indices.
int32_t likeliest(std::span<const float> row);
/// log(sum(exp(row))), in double.
double log_sum_exp(std::span<const float> row);
/// row[i] -= log_sum_exp(row).
void log_softmax(std::span<float> row);

/// A token that can be chosen.
struct Candidate {
  int32_t token;
  float score;
  float probability;
};
/// All tokens that are not banned, by their ids, with the softmax over them.
std::vector<Candidate> candidates(std::span<const float> row);

/// The k-th largest score, k in [1, row.size()].
float kth_largest(std::span<const float> row, size_t k);
/// Up to k tokens by falling score, of equal ones the smaller id first.
std::vector<Candidate> top_candidates(std::span<const float> row, size_t k);

}  // namespace deepspeed::inference
