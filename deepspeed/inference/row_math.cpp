#include "deepspeed/inference/row_math.h"

#include <algorithm>
#include <cmath>
#include <functional>

namespace deepspeed::inference {

float largest(std::span<const float> row) {
  // Several running maxima, so that the loop is not one chain of comparisons.
  constexpr size_t kLanes = 16;
  float lane[kLanes];
  std::fill_n(lane, kLanes, kBanned);
  size_t i = 0;
  for (; i + kLanes <= row.size(); i += kLanes)
    for (size_t j = 0; j < kLanes; ++j) lane[j] = row[i + j] > lane[j] ? row[i + j] : lane[j];
  for (; i < row.size(); ++i) lane[0] = row[i] > lane[0] ? row[i] : lane[0];
  return *std::max_element(lane, lane + kLanes);
}

int32_t likeliest(std::span<const float> row) {
  const auto found = std::find(row.begin(), row.end(), largest(row));
  return found == row.end() ? 0 : static_cast<int32_t>(found - row.begin());
}

double log_sum_exp(std::span<const float> row) {
  const float most = largest(row);
  if (!std::isfinite(most)) return most;
  double sum = 0;
  for (const float x : row)
    if (x > kBanned) sum += std::exp(x - most);
  return most + std::log(sum);
}

void log_softmax(std::span<float> row) {
  const double normalizer = log_sum_exp(row);
  for (float& x : row) x = static_cast<float>(x - normalizer);
}

std::vector<Candidate> candidates(std::span<const float> row) {
  std::vector<Candidate> out;
  const float most = largest(row);
  double sum = 0;
  for (size_t i = 0; i < row.size(); ++i) {
    if (!(row[i] > kBanned)) continue;
    out.push_back({static_cast<int32_t>(i), row[i], std::exp(row[i] - most)});
    sum += out.back().probability;
  }
  for (Candidate& one : out) one.probability = static_cast<float>(one.probability / sum);
  return out;
}

float kth_largest(std::span<const float> row, size_t k) {
  std::vector<float> copy(row.begin(), row.end());
  const auto nth = copy.begin() + static_cast<ptrdiff_t>(k - 1);
  std::nth_element(copy.begin(), nth, copy.end(), std::greater<>());
  return *nth;
}

std::vector<Candidate> top_candidates(std::span<const float> row, size_t k) {
  k = std::min(k, row.size());
  if (k == 0) return {};
  const float least = kth_largest(row, k);
  std::vector<Candidate> out;
  for (size_t i = 0; i < row.size(); ++i)
    if (row[i] >= least) out.push_back({static_cast<int32_t>(i), row[i], 0});
  std::stable_sort(out.begin(), out.end(), [](const auto& a, const auto& b) { return a.score > b.score; });
  out.resize(std::min(k, out.size()));
  return out;
}

}  // namespace deepspeed::inference
