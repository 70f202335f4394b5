#include "deepspeed/data/loader.h"

#include <ATen/ops/stack.h>

#include "deepspeed/accel/memory.h"
#include "deepspeed/base/error.h"

namespace deepspeed::data {
namespace {

Sampler::Options with_size(Sampler::Options options, const Dataset& dataset) {
  options.samples = dataset.size();
  return options;
}

void check_fits_memory(const Dataset& dataset, int64_t micro_batch) {
  double bytes = 0;
  for (const auto& column : dataset.get(0)) bytes += static_cast<double>(column.nbytes());
  bytes *= static_cast<double>(micro_batch);
  const auto memory = static_cast<double>(accel::physical_memory_bytes());
  DS_CHECK(bytes <= memory / 2,
           "a micro-batch of {} samples takes {:.3g} GB before any computation, this machine has {:.3g} GB "
           "of memory: lower train_micro_batch_size_per_gpu",
           micro_batch, bytes / 1e9, memory / 1e9);
}

}  // namespace

std::vector<at::Tensor> Dataset::get_in_epoch(int64_t index, int64_t) const { return get(index); }

std::vector<at::Tensor> collate(const Dataset& dataset, const std::vector<int64_t>& samples) {
  std::vector<Sampler::Draw> draws;
  for (const int64_t index : samples) draws.push_back({index, 0});
  return collate(dataset, draws);
}

std::vector<at::Tensor> collate(const Dataset& dataset, const std::vector<Sampler::Draw>& draws) {
  std::vector<std::vector<at::Tensor>> columns;
  for (const auto& draw : draws) {
    const auto sample = dataset.get_in_epoch(draw.sample, draw.epoch);
    columns.resize(sample.size());
    for (size_t c = 0; c < sample.size(); ++c) columns[c].push_back(sample[c]);
  }
  std::vector<at::Tensor> batch;
  for (const auto& column : columns) batch.push_back(at::stack(column));
  return batch;
}

Loader::Loader(std::shared_ptr<const Dataset> dataset, const Sampler::Options& options, int workers)
    : dataset_(std::move(dataset)), sampler_(with_size(options, *dataset_)) {
  DS_CHECK(workers >= 0 && workers <= 256, "a loader has 0 to 256 workers, not {}", workers);
  check_fits_memory(*dataset_, options.micro_batch);
  if (workers > 0)
    prefetcher_.emplace([this](int64_t step) { return collate(*dataset_, sampler_.draws(step)); }, workers);
}

std::vector<at::Tensor> Loader::next() {
  auto batch = prefetcher_ ? prefetcher_->take(position_) : collate(*dataset_, sampler_.draws(position_));
  ++position_;
  return batch;
}

}  // namespace deepspeed::data
