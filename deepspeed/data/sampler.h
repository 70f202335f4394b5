// Which samples a rank trains on: a pure function of (micro-step, rank), so that resuming needs no state but
// the step, and any other program can reproduce the order. Torch-free.
#pragma once

#include <cstdint>
#include <vector>

namespace deepspeed::data {

/// Data-parallel sampling over `samples` samples. Micro-batch m (counting every forward of training, over
/// accumulation steps) of rank r takes positions (m*W + r)*M ... +M-1 of an endless sequence: epoch after
/// epoch of all samples, each in storage order, or, shuffled, in an order that depends on (seed, epoch)
/// alone. Nothing grows with the number of samples, and one object serves any number of threads.
///
/// An epoch's last micro-batches go on with the next epoch's samples. With `drop_last` every epoch instead
/// has ceil(samples / W) / M (rounded down) micro-batches on each rank, as DeepSpeed's `dataloader_drop_last`
/// over PyTorch's DistributedSampler: what does not fill a micro-batch is left out, and where W does not
/// divide the samples up to W-1 of an epoch's first ones appear twice.
class Sampler {
 public:
  struct Options {
    int64_t samples = 0;
    int64_t micro_batch = 1;
    int rank = 0, world_size = 1;
    bool shuffle = false;
    uint64_t seed = 1;
    bool drop_last = false;
  };
  /// Error when there are no samples, or drop_last leaves none.
  explicit Sampler(const Options& options);

  /// One sample of a micro-batch: which, and in which pass over the data.
  struct Draw {
    int64_t sample, epoch;
  };
  std::vector<Draw> draws(int64_t micro_step) const;
  /// The samples alone, each in [0, samples).
  std::vector<int64_t> batch(int64_t micro_step) const;
  /// Of all ranks together.
  int64_t samples_per_micro_step() const { return options_.micro_batch * options_.world_size; }
  /// Optimizer steps of `accumulation` micro-batches that one epoch fills, at least 1.
  int64_t steps_per_epoch(int64_t accumulation) const;

 private:
  int64_t at(int64_t epoch, int64_t place) const;

  Options options_;
  int64_t epoch_positions_;  // of the endless sequence that one epoch takes
};

}  // namespace deepspeed::data
