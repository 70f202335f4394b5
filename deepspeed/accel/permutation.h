// A random order of N things that is computed element by element: no memory, no state, any place at once.
#pragma once

#include <array>
#include <cstdint>

#include "deepspeed/accel/rng.h"

namespace deepspeed::accel {

/// A permutation of [0, size) chosen by `key`: equal on every machine, thread and rank.
/// A balanced Feistel network over the smallest even number of bits that holds `size`; values outside are
/// encrypted again until they fall inside (at most 4 times the size, so a few tries).
/// Sources: Luby, Rackoff, "How to construct pseudorandom permutations" (1988); Black, Rogaway, "Ciphers with
/// arbitrary finite domains" (2002).
class Permutation {
 public:
  /// `size` > 0.
  Permutation(uint64_t size, RngKey key);
  /// The element at `place`, which is below size.
  uint64_t operator()(uint64_t place) const;

 private:
  static constexpr int kRounds = 8;  // 4 suffice for large domains; small ones mix slower

  uint64_t size_;
  int half_bits_;
  std::array<uint64_t, kRounds> keys_;
};

}  // namespace deepspeed::accel
