#include "deepspeed/data/token_dataset.h"

#include <ATen/ops/empty.h>

#include "deepspeed/base/error.h"

namespace deepspeed::data {

TokenDataset::TokenDataset(TokenStorePtr store, const SampleOptions& options)
    : store_(std::move(store)), options_(options) {
  DS_CHECK(options.sequence_length >= 2, "--seq-length must be at least 2, got {}", options.sequence_length);
  DS_CHECK(size() > 0, "'{}' holds {} tokens, fewer than one sample of {}", store_->name(), store_->tokens(),
           options.sequence_length);
  check_first_ids(*store_, options.vocab);
}

std::vector<at::Tensor> TokenDataset::get(int64_t index) const {
  const int64_t length = options_.sequence_length;
  at::Tensor sample = at::empty({length}, at::kLong);
  const std::span<int64_t> ids(sample.mutable_data_ptr<int64_t>(), static_cast<size_t>(length));
  store_->read(index * length, ids);
  check_ids(*store_, index * length, ids, options_.vocab);
  return {sample};
}

}  // namespace deepspeed::data
