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

}  // namespace

Loader::Loader(std::shared_ptr<const Dataset> dataset, const Sampler::Options& options)
    : dataset_(std::move(dataset)), sampler_(with_size(options, *dataset_)) {
  double bytes = 0;
  for (const auto& column : dataset_->get(0)) bytes += static_cast<double>(column.nbytes());
  bytes *= static_cast<double>(options.micro_batch);
  const auto memory = static_cast<double>(accel::physical_memory_bytes());
  DS_CHECK(bytes <= memory / 2,
           "a micro-batch of {} samples takes {:.3g} GB before any computation, this machine has {:.3g} GB "
           "of memory: "
           "lower train_micro_batch_size_per_gpu",
           options.micro_batch, bytes / 1e9, memory / 1e9);
}

std::vector<at::Tensor> Loader::next() {
  std::vector<std::vector<at::Tensor>> columns;
  for (int64_t index : sampler_.batch(position_)) {
    const auto sample = dataset_->get(index);
    columns.resize(sample.size());
    for (size_t c = 0; c < sample.size(); ++c) columns[c].push_back(sample[c]);
  }
  std::vector<at::Tensor> batch;
  for (const auto& column : columns) batch.push_back(at::stack(column));
  ++position_;
  return batch;
}

}  // namespace deepspeed::data
