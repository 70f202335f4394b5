#include "deepspeed/data/sampler.h"

#include <algorithm>
#include <limits>
#include <numeric>

#include "deepspeed/accel/rng.h"
#include "deepspeed/base/error.h"

namespace deepspeed::data {

Sampler::Sampler(const Options& options) : options_(options) {
  DS_CHECK(options.samples > 0, "the training data holds no complete sample");
  DS_CHECK(options.samples <= std::numeric_limits<uint32_t>::max(),
           "{} samples are more than a sampler can order", options.samples);
  DS_CHECK(options.micro_batch > 0 && options.rank >= 0 && options.rank < options.world_size,
           "a sampler needs a positive micro-batch and a rank within the world");
}

int64_t Sampler::at(int64_t position) {
  const int64_t epoch = position / options_.samples, place = position % options_.samples;
  if (!options_.shuffle) return place;
  if (epoch != epoch_) {
    epoch_ = epoch;
    order_.resize(static_cast<size_t>(options_.samples));
    std::iota(order_.begin(), order_.end(), 0u);
    const accel::RngKey key{accel::mix(options_.seed, accel::hash_name("shuffle")),
                            static_cast<uint64_t>(epoch)};
    for (size_t i = order_.size() - 1; i > 0; --i) {  // Fisher and Yates
      const auto words = accel::philox(key, i);
      const uint64_t random = (uint64_t{words[0]} << 32) | words[1];
      std::swap(order_[i], order_[random % (i + 1)]);
    }
  }
  return order_[static_cast<size_t>(place)];
}

std::vector<int64_t> Sampler::batch(int64_t micro_step) {
  std::vector<int64_t> samples;
  const int64_t first = (micro_step * options_.world_size + options_.rank) * options_.micro_batch;
  for (int64_t j = 0; j < options_.micro_batch; ++j) samples.push_back(at(first + j));
  return samples;
}

int64_t Sampler::steps_per_epoch(int64_t accumulation) const {
  return std::max<int64_t>(1, options_.samples / (options_.micro_batch * options_.world_size * accumulation));
}

}  // namespace deepspeed::data
