#include "deepspeed/models/rope.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace deepspeed::models {
namespace {

constexpr double kTurn = 2 * std::numbers::pi;

// A base that grows with the sequence ("NTK-aware").
double dynamic_theta(const Rope& r, int64_t length) {
  const auto original = static_cast<double>(r.original_positions), dim = static_cast<double>(r.dim);
  const double stretched = r.factor * std::max(static_cast<double>(length), original) / original;
  return r.theta * std::pow(stretched - (r.factor - 1), dim / (dim - 2));
}

// The pair, as a real number, that turns `turns` times within the original positions.
double pair_of(const Rope& r, double turns) {
  return static_cast<double>(r.dim) * std::log(static_cast<double>(r.original_positions) / (turns * kTurn)) /
         (2 * std::log(r.theta));
}

void stretch_yarn(const Rope& r, std::vector<double>& frequencies) {
  double low = pair_of(r, r.fast_turns), high = pair_of(r, r.slow_turns);
  if (r.whole_pairs) low = std::floor(low), high = std::ceil(high);
  low = std::max(low, 0.0), high = std::min(high, static_cast<double>(r.dim - 1));
  if (low == high) high += 0.001;
  for (size_t i = 0; i < frequencies.size(); ++i) {
    const double divided = std::clamp((static_cast<double>(i) - low) / (high - low), 0.0, 1.0);
    frequencies[i] *= divided / r.factor + (1 - divided);
  }
}

void stretch_llama3(const Rope& r, std::vector<double>& frequencies) {
  for (double& frequency : frequencies) {
    const double turns = static_cast<double>(r.original_positions) * frequency / kTurn;
    if (turns > r.high_frequency) continue;
    const double kept =
        turns < r.low_frequency ? 0 : (turns - r.low_frequency) / (r.high_frequency - r.low_frequency);
    frequency *= (1 - kept) / r.factor + kept;
  }
}

}  // namespace

std::vector<double> rope_frequencies(const Rope& r, int64_t length) {
  const double theta = r.stretch == RopeStretch::kDynamic ? dynamic_theta(r, length) : r.theta;
  std::vector<double> frequencies(static_cast<size_t>(r.dim / 2));
  for (size_t i = 0; i < frequencies.size(); ++i)
    frequencies[i] = std::pow(theta, -2 * static_cast<double>(i) / static_cast<double>(r.dim));
  switch (r.stretch) {
    case RopeStretch::kNone:
    case RopeStretch::kDynamic:
      break;
    case RopeStretch::kLinear:
      for (double& frequency : frequencies) frequency /= r.factor;
      break;
    case RopeStretch::kYarn:
      stretch_yarn(r, frequencies);
      break;
    case RopeStretch::kLlama3:
      stretch_llama3(r, frequencies);
      break;
    case RopeStretch::kFactors:
      for (size_t i = 0; i < frequencies.size(); ++i) frequencies[i] /= r.factors.at(i);
      break;
    case RopeStretch::kLongrope: {
      const auto& factors = length > r.original_positions ? r.long_factors : r.short_factors;
      for (size_t i = 0; i < frequencies.size(); ++i) frequencies[i] /= factors.at(i);
      break;
    }
  }
  return frequencies;
}

}  // namespace deepspeed::models
