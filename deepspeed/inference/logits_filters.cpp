// The filters of logits_process.h.
#include <algorithm>
#include <cmath>

#include "deepspeed/inference/logits_process.h"

namespace deepspeed::inference {
namespace {

void ban(Row row, const Candidate& one) { row[static_cast<size_t>(one.token)] = kBanned; }

// In nats, over the candidates.
double entropy(const std::vector<Candidate>& all, double normalizer) {
  double sum = 0;
  for (const Candidate& one : all) sum -= one.probability * (one.score - normalizer);
  return sum;
}

// Bans candidates whose probability is below `bound`, but none of the `at_least` largest scores.
void keep_above(Row row, const std::vector<Candidate>& all, float bound, size_t at_least) {
  const float spared = kth_largest(row, std::min(at_least, row.size()));
  for (const Candidate& one : all)
    if (one.probability < bound && one.score < spared) ban(row, one);
}

}  // namespace

void keep_top_k(Row row, size_t k) {
  if (k >= row.size()) return;
  const float least = kth_largest(row, k);
  for (float& x : row) x = x < least ? kBanned : x;
}

void keep_top_p(Row row, double p, size_t at_least) {
  const auto all = candidates(row);
  const auto rest = static_cast<float>(1 - p);  // what the unlikely ones may sum to
  // Tokens so unlikely that even all of them stay within `rest` need no place in the order.
  const float far = 0.5F * rest / static_cast<float>(row.size());
  std::vector<Candidate> near;
  double below = 0;
  for (const Candidate& one : all) {
    if (one.probability >= far)
      near.push_back(one);
    else
      below += one.probability;
  }
  // By rising probability; of equal ones the first go first.
  std::stable_sort(near.begin(), near.end(), [](const auto& a, const auto& b) { return a.score < b.score; });
  const size_t safe = std::min(at_least, near.size());
  size_t gone = 0;
  for (double sum = below; gone + safe < near.size(); ++gone) {
    sum += near[gone].probability;
    if (!(static_cast<float>(sum) <= rest)) break;
    ban(row, near[gone]);
  }
  if (near.size() >= at_least) {
    for (const Candidate& one : all)
      if (one.probability < far) ban(row, one);
    return;
  }
  // So few are likely that the unlikely ones make up the number.
  const float spared = kth_largest(row, std::min(at_least, row.size()));
  for (const Candidate& one : all)
    if (one.score < spared) ban(row, one);
}

void keep_top_h(Row row, double part) {
  constexpr size_t kConsidered = 100;
  auto top = top_candidates(row, kConsidered);
  std::vector<float> scores;
  for (const Candidate& one : top) scores.push_back(one.score);
  const double normalizer = log_sum_exp(scores);
  for (Candidate& one : top) one.probability = static_cast<float>(std::exp(one.score - normalizer));
  std::erase_if(top, [](const Candidate& one) { return !(one.score > kBanned); });
  const double budget = entropy(top, normalizer) * part;
  double spent = 0;
  size_t kept = 0;
  for (const Candidate& one : top) {
    spent -= one.probability * (one.score - normalizer);
    if (kept > 0 && static_cast<float>(spent) > static_cast<float>(budget)) break;
    ++kept;
  }
  std::fill(row.begin(), row.end(), kBanned);
  for (size_t i = 0; i < kept; ++i) row[static_cast<size_t>(top[i].token)] = top[i].score;
}

void keep_min_p(Row row, double part, size_t at_least) {
  const auto all = candidates(row);
  float most = 0;
  for (const Candidate& one : all) most = std::max(most, one.probability);
  keep_above(row, all, static_cast<float>(part) * most, at_least);
}

void keep_typical(Row row, double mass, size_t at_least) {
  auto all = candidates(row);
  const double normalizer = log_sum_exp(row), expected = entropy(all, normalizer);
  struct Shifted {
    float distance;
    Candidate one;
  };
  std::vector<Shifted> order;
  for (const Candidate& one : all)
    order.push_back({static_cast<float>(std::abs(normalizer - one.score - expected)), one});
  std::stable_sort(order.begin(), order.end(),
                   [](const auto& a, const auto& b) { return a.distance < b.distance; });
  const auto wanted = static_cast<float>(mass);
  double sum = 0;
  size_t last = 0;  // how many do not reach the mass
  while (last < order.size() && static_cast<float>(sum += order[last].one.probability) < wanted) ++last;
  if (last >= order.size()) return;
  const float farthest = order[last].distance;
  for (size_t i = at_least; i < order.size(); ++i)
    if (order[i].distance > farthest) ban(row, order[i].one);
}

void keep_above_epsilon(Row row, double epsilon, size_t at_least) {
  keep_above(row, candidates(row), static_cast<float>(epsilon), at_least);
}

void keep_above_eta(Row row, double epsilon, size_t at_least) {
  const auto all = candidates(row);
  const auto bound = std::min(epsilon, std::sqrt(epsilon) * std::exp(-entropy(all, log_sum_exp(row))));
  keep_above(row, all, static_cast<float>(bound), at_least);
}

}  // namespace deepspeed::inference
