#include "deepspeed/accel/permutation.h"

#include <algorithm>
#include <bit>

namespace deepspeed::accel {

Permutation::Permutation(uint64_t size, RngKey key)
    : size_(size), half_bits_(std::max(1, (static_cast<int>(std::bit_width(size - 1)) + 1) / 2)) {
  for (int round = 0; round < kRounds; ++round) {
    const auto words = philox(key, static_cast<uint64_t>(round));
    keys_[static_cast<size_t>(round)] = (uint64_t{words[0]} << 32) | words[1];
  }
}

uint64_t Permutation::operator()(uint64_t place) const {
  const uint64_t mask = (uint64_t{1} << half_bits_) - 1;
  uint64_t x = place;
  do {
    uint64_t left = x >> half_bits_, right = x & mask;
    for (const uint64_t key : keys_) {
      const uint64_t next = left ^ (mix(key, right) & mask);
      left = right;
      right = next;
    }
    x = (left << half_bits_) | right;
  } while (x >= size_);
  return x;
}

}  // namespace deepspeed::accel
