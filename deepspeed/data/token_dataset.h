// A token store as one stream, cut into samples of equal length.
#pragma once

#include "deepspeed/data/loader.h"
#include "deepspeed/data/token_store.h"

namespace deepspeed::data {

struct SampleOptions {
  int64_t sequence_length = 0;
  int64_t vocab = 0;  // every id must lie below it
};

/// Sample i is tokens [i*N, (i+1)*N) of the store as one int64 tensor [N], documents or not; a shorter rest
/// is left out. Errors: fewer tokens than one sample, ids outside the vocabulary (as check_first_ids; later
/// ones from get()).
class TokenDataset : public Dataset {
 public:
  TokenDataset(TokenStorePtr store, const SampleOptions& options);
  int64_t size() const override { return store_->tokens() / options_.sequence_length; }
  std::vector<at::Tensor> get(int64_t index) const override;

 private:
  TokenStorePtr store_;
  SampleOptions options_;
};

}  // namespace deepspeed::data
