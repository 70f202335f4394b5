// Datasets and the loader that collates a rank's micro-batches from them.
#pragma once

#include <ATen/core/Tensor.h>

#include <memory>
#include <optional>
#include <vector>

#include "deepspeed/data/prefetcher.h"
#include "deepspeed/data/sampler.h"

namespace deepspeed::data {

/// Samples by index. get() may be called from any thread, by several at once.
class Dataset {
 public:
  virtual ~Dataset() = default;
  virtual int64_t size() const = 0;
  /// The tensors of one sample (inputs, labels, ...), of the same shapes for every sample.
  virtual std::vector<at::Tensor> get(int64_t index) const = 0;
  /// The sample as it is in that pass over the data, for those that differ (masked anew, say).
  virtual std::vector<at::Tensor> get_in_epoch(int64_t index, int64_t epoch) const;
};

/// The tensors of several samples, each stacked along a new first dimension.
std::vector<at::Tensor> collate(const Dataset& dataset, const std::vector<Sampler::Draw>& draws);
/// Of epoch 0.
std::vector<at::Tensor> collate(const Dataset& dataset, const std::vector<int64_t>& samples);

/// Gives micro-batch after micro-batch.
class Loader {
 public:
  /// `workers` threads make micro-batches ahead; 0: next() makes them. The batches are the same. base::Error
  /// where one micro-batch cannot fit into memory.
  Loader(std::shared_ptr<const Dataset> dataset, const Sampler::Options& options, int workers = 0);
  Loader(const Loader&) = delete;
  Loader& operator=(const Loader&) = delete;
  /// The micro-batch at the current position; moves on by one. An Error of the dataset's comes with the batch
  /// that it concerns.
  std::vector<at::Tensor> next();
  int64_t position() const { return position_; }
  /// Continue at this micro-batch of the rank. After a resume, perhaps on another number of ranks, that is
  /// engine.global_samples() / (micro-batch * ranks): see seek_samples().
  void seek(int64_t micro_step) { position_ = micro_step; }
  /// Continue where all ranks together have taken so many samples (rounded down to a whole micro-batch of
  /// each).
  void seek_samples(int64_t samples) { position_ = samples / sampler_.samples_per_micro_step(); }
  const Sampler& sampler() const { return sampler_; }

 private:
  std::shared_ptr<const Dataset> dataset_;
  Sampler sampler_;
  int64_t position_ = 0;
  std::optional<Prefetcher> prefetcher_;
};

}  // namespace deepspeed::data
