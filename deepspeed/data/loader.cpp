#include "deepspeed/data/loader.h"

#include <ATen/ops/stack.h>

#include "deepspeed/base/error.h"

namespace deepspeed::data {
namespace {

Sampler::Options with_size(Sampler::Options options, const Dataset& dataset) {
  options.samples = dataset.size();
  return options;
}

}  // namespace

Loader::Loader(std::shared_ptr<const Dataset> dataset, const Sampler::Options& options)
    : dataset_(std::move(dataset)), sampler_(with_size(options, *dataset_)) {}

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
