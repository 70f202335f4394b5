#include "deepspeed/data/sampler.h"

#include <algorithm>

#include "deepspeed/accel/permutation.h"
#include "deepspeed/base/error.h"

namespace deepspeed::data {

Sampler::Sampler(const Options& options) : options_(options), epoch_positions_(options.samples) {
  DS_CHECK(options.samples > 0, "the training data holds no complete sample");
  DS_CHECK(options.micro_batch > 0 && options.rank >= 0 && options.rank < options.world_size,
           "a sampler needs a positive micro-batch and a rank within the world");
  if (!options.drop_last) return;
  const int64_t world = options.world_size, each = (options.samples + world - 1) / world;
  epoch_positions_ = each / options.micro_batch * options.micro_batch * world;
  DS_CHECK(
      epoch_positions_ > 0,
      "dataloader_drop_last leaves nothing: {} samples do not fill a micro-batch of {} on each of {} ranks",
      options.samples, options.micro_batch, world);
}

int64_t Sampler::at(int64_t epoch, int64_t place) const {
  place %= options_.samples;
  if (!options_.shuffle) return place;
  const accel::RngKey key{accel::mix(options_.seed, accel::hash_name("shuffle")),
                          static_cast<uint64_t>(epoch)};
  const accel::Permutation order(static_cast<uint64_t>(options_.samples), key);
  return static_cast<int64_t>(order(static_cast<uint64_t>(place)));
}

std::vector<Sampler::Draw> Sampler::draws(int64_t micro_step) const {
  std::vector<Draw> draws;
  const int64_t first = (micro_step * options_.world_size + options_.rank) * options_.micro_batch;
  for (int64_t j = 0; j < options_.micro_batch; ++j) {
    const int64_t epoch = (first + j) / epoch_positions_;
    draws.push_back({at(epoch, (first + j) % epoch_positions_), epoch});
  }
  return draws;
}

std::vector<int64_t> Sampler::batch(int64_t micro_step) const {
  std::vector<int64_t> samples;
  for (const Draw& draw : draws(micro_step)) samples.push_back(draw.sample);
  return samples;
}

int64_t Sampler::steps_per_epoch(int64_t accumulation) const {
  return std::max<int64_t>(1, epoch_positions_ / (options_.micro_batch * options_.world_size * accumulation));
}

}  // namespace deepspeed::data
