// All randomness of the library: counter-based, so that any element of any mask or initial weight can be
// computed alone, by any thread or rank, again during recomputation, and after a resume. Torch-free header.
// Source: Salmon et al., "Parallel random numbers: as easy as 1, 2, 3" (SC11), Philox4x32-10.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace deepspeed::accel {

/// Names one random stream. Element i of the stream is word i % 4 of philox(key, i / 4).
struct RngKey {
  uint64_t seed = 0;
  uint64_t stream = 0;
  bool operator==(const RngKey&) const = default;
};

/// Four independent 32-bit words: block `counter` of the stream.
inline std::array<uint32_t, 4> philox(RngKey key, uint64_t counter) {
  uint32_t c0 = static_cast<uint32_t>(counter), c1 = static_cast<uint32_t>(counter >> 32);
  uint32_t c2 = static_cast<uint32_t>(key.stream), c3 = static_cast<uint32_t>(key.stream >> 32);
  uint32_t k0 = static_cast<uint32_t>(key.seed), k1 = static_cast<uint32_t>(key.seed >> 32);
  for (int round = 0; round < 10; ++round) {
    const uint64_t p0 = uint64_t{0xD2511F53} * c0, p1 = uint64_t{0xCD9E8D57} * c2;
    const uint32_t n0 = static_cast<uint32_t>(p1 >> 32) ^ c1 ^ k0,
                   n2 = static_cast<uint32_t>(p0 >> 32) ^ c3 ^ k1;
    c1 = static_cast<uint32_t>(p1);
    c3 = static_cast<uint32_t>(p0);
    c0 = n0;
    c2 = n2;
    k0 += 0x9E3779B9;
    k1 += 0xBB67AE85;
  }
  return {c0, c1, c2, c3};
}

/// Element `index` of the stream as a float in [0, 1) with 24 random bits.
inline float uniform(RngKey key, uint64_t index) {
  return static_cast<float>(philox(key, index / 4)[index % 4] >> 8) * 0x1p-24f;
}

/// Element `index` of a standard normal stream (Box-Muller over block index / 4; words pair up as (0,1) and
/// (2,3)).
float normal(RngKey key, uint64_t index);

/// A well-mixed 64-bit hash of a name (FNV-1a, then a finalizer): stream ids of parameters.
uint64_t hash_name(std::string_view name);
uint64_t mix(uint64_t a, uint64_t b);

/// The stream from which parameter `name` is initialised under `seed`: the same on every rank and world size.
RngKey parameter_key(uint64_t seed, std::string_view name);

/// The random state of one rank: a seed, its rank and the micro-step. A site (one dropout layer, say) asks
/// for its key; the same site at the same step always gets the same key. The step is what a checkpoint must
/// keep.
class Rng {
 public:
  explicit Rng(uint64_t seed, uint64_t rank = 0) : seed_(seed), rank_(rank) {}
  RngKey key(uint64_t site) const { return {mix(seed_, mix(rank_, 0x72616e6bu)), mix(step_, site)}; }
  uint64_t step() const { return step_; }
  void set_step(uint64_t step) { step_ = step; }

 private:
  uint64_t seed_, rank_, step_ = 0;
};

}  // namespace deepspeed::accel
