// The angles of rotary positions, and how they are stretched for sequences longer than those that a model was
// first trained on.
#pragma once

#include <cstdint>
#include <vector>

namespace deepspeed::models {

/// transformers' rope types "default", "linear", "dynamic", "yarn", "llama3" and "longrope"; and frequencies
/// divided by a list of factors, as GGUF files have it.
enum class RopeStretch { kNone, kLinear, kDynamic, kYarn, kLlama3, kLongrope, kFactors };

struct Rope {
  double theta = 10000;      // base of the wavelengths
  int64_t dim = 0;           // leading elements of a head that are turned
  bool interleaved = false;  // pairs are neighbours (ops::RotaryOptions)
  double amplitude = 1;      // of cos and sin: scores grow by its square

  RopeStretch stretch = RopeStretch::kNone;
  double factor = 1;                       // how much longer than original_positions sequences become
  int64_t original_positions = 0;          // of the first training; not of kLinear
  double slow_turns = 1, fast_turns = 32;  // kYarn: turns within original_positions below and above which a
                                           // frequency is divided by the factor, and is kept
  bool whole_pairs = true;                 // kYarn: these bounds are rounded to whole pairs
  double low_frequency = 1, high_frequency = 4;     // kLlama3: likewise
  std::vector<double> short_factors, long_factors;  // kLongrope: what each frequency is divided by, in
                                                    // sequences up to original_positions and in longer ones
  std::vector<double> factors;                      // kFactors: what each is divided by

  /// Whether keys that were turned in a sequence of `before` positions are those of one of `now`.
  bool keeps_keys(int64_t before, int64_t now) const {
    return stretch != RopeStretch::kLongrope || (before <= original_positions) == (now <= original_positions);
  }
};

/// Radians by which a position turns each pair, rope.dim / 2 of them, in a sequence of `length` positions.
/// Sources: Chen et al. (2023) for kLinear, Peng et al., "YaRN" (2023), Ding et al., "LongRoPE" (2024);
/// mirrors transformers' modeling_rope_utils.
std::vector<double> rope_frequencies(const Rope& rope, int64_t length);

}  // namespace deepspeed::models
