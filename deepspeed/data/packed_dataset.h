// Documents packed into samples, none of which sees another.
#pragma once

#include "deepspeed/data/loader.h"
#include "deepspeed/data/pack_plan.h"
#include "deepspeed/data/token_dataset.h"

namespace deepspeed::data {

/// A sample is {ids, labels, starts}: int64 [N], int64 [N], int32 [N]. Labels are the ids, -100 where nothing
/// is to be learnt: prompts, the first token of every document, and what fills a sample up (id 0). starts[t]
/// is where the document of position t begins in the sample (models::Decoder's `starts`); filling tokens are
/// documents of their own.
class PackedDataset : public Dataset {
 public:
  /// `together`: as many documents a sample as fit; else one. Errors: a store without documents, none in
  /// which anything can be learnt, ids outside the vocabulary (as TokenDataset).
  PackedDataset(TokenStorePtr store, const SampleOptions& options, bool together);
  int64_t size() const override { return plan_.samples(); }
  std::vector<at::Tensor> get(int64_t index) const override;

  /// Documents (or parts of long ones) in all samples.
  int64_t pieces() const { return static_cast<int64_t>(plan_.pieces.size()); }
  /// Pairs whose end was left out because they are longer than a sample.
  int64_t shortened() const { return shortened_; }
  /// Documents in which nothing would be learnt: too short, or a prompt that fills a sample.
  int64_t left_out() const { return left_out_; }

 private:
  TokenStorePtr store_;
  SampleOptions options_;
  PackPlan plan_;
  int64_t shortened_ = 0, left_out_ = 0;
};

}  // namespace deepspeed::data
