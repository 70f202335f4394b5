// Which samples a rank trains on: a pure function of (micro-step, rank), so that resuming needs no state but
// the step, and any other program can reproduce the order. Torch-free.
#pragma once

#include <cstdint>
#include <vector>

namespace deepspeed::data {

/// Data-parallel sampling over `samples` samples. Micro-batch m (counting every forward of training, over
/// accumulation steps) of rank r takes positions (m*W + r)*M ... +M-1 of an endless sequence: epoch after
/// epoch of all samples, each in storage order, or, shuffled, in an order that depends on (seed, epoch)
/// alone.
class Sampler {
 public:
  struct Options {
    int64_t samples = 0;
    int64_t micro_batch = 1;
    int rank = 0, world_size = 1;
    bool shuffle = false;
    uint64_t seed = 1;
  };
  /// Error when there are no samples.
  explicit Sampler(const Options& options);

  /// The samples of one micro-batch, each in [0, samples).
  std::vector<int64_t> batch(int64_t micro_step);
  /// Of all ranks together.
  int64_t samples_per_micro_step() const { return options_.micro_batch * options_.world_size; }
  /// Optimizer steps of `accumulation` micro-batches that one epoch fills, at least 1.
  int64_t steps_per_epoch(int64_t accumulation) const;

 private:
  int64_t at(int64_t position);

  Options options_;
  int64_t epoch_ = -1;           // of order_
  std::vector<uint32_t> order_;  // one epoch's permutation, made when first needed
};

}  // namespace deepspeed::data
