#include "deepspeed/accel/rng.h"

#include <cmath>
#include <numbers>

namespace deepspeed::accel {

float normal(RngKey key, uint64_t index) {
  const auto words = philox(key, index / 4);
  const size_t pair = (index % 4) / 2 * 2;
  const double radius =
      std::sqrt(-2.0 * std::log((words[pair] + 1.0) * 0x1p-32));  // (0, 1]: the log is finite
  const double angle = 2.0 * std::numbers::pi * (words[pair + 1] * 0x1p-32);
  return static_cast<float>(radius * (index % 2 == 0 ? std::cos(angle) : std::sin(angle)));
}

uint64_t mix(uint64_t a, uint64_t b) {
  uint64_t x = a * 0x9E3779B97F4A7C15u + b + 0x632BE59BD9B4E019u;  // splitmix64 finalizer over both words
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
  return x ^ (x >> 31);
}

uint64_t hash_name(std::string_view name) {
  uint64_t hash = 0xCBF29CE484222325u;
  for (unsigned char c : name) hash = (hash ^ c) * 0x100000001B3u;
  return mix(hash, name.size());
}

RngKey parameter_key(uint64_t seed, std::string_view name) {
  return {mix(seed, 0x696e6974u), hash_name(name)};
}

}  // namespace deepspeed::accel
