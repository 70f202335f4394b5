// Masked-language-model samples out of a token store. Source: Devlin et al., "BERT" (2019), section 3.1.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <span>
#include <vector>

#include "deepspeed/data/loader.h"
#include "deepspeed/data/token_store.h"

namespace deepspeed::data {

struct MaskOptions {
  int64_t vocab = 0;  // a token that is replaced by a random one becomes any below it
  int64_t mask_token = 0;
  std::vector<int64_t> untouched;  // ids that are never chosen ([CLS], [SEP], [PAD], ...)
  double probability = 0.15;       // of a token to be chosen
  uint64_t seed = 1;
};

/// Chooses tokens of `ids`: 80 % of them become mask_token, 10 % a random token, 10 % stay. Writes the tokens
/// that stood there into `labels` and -100 elsewhere. Depends on (seed, epoch, sample, position) alone. Where
/// chance chooses none, the first token that may be chosen is: a sample without anything to learn would have
/// no loss.
void mask_tokens(const MaskOptions& options, int64_t epoch, int64_t sample, std::span<int64_t> ids,
                 std::span<int64_t> labels);

struct MaskedOptions {
  int64_t length = 0;  // of a sample, [CLS] and [SEP] included
  int64_t begin_token = 0, end_token = 0, padding = 0;
  bool by_document = false;  // a sample holds (part of) one document; else the store is one stream
  MaskOptions mask;
};

/// Samples as SequenceDataset's of LabelKind::kTokens: [CLS] tokens [SEP]. Of a stream each holds length - 2
/// tokens and a shorter rest is left out; a long document becomes several samples.
class MaskedDataset : public Dataset {
 public:
  /// Errors: too few tokens for one sample, no documents where they are wanted, ids outside the vocabulary.
  MaskedDataset(TokenStorePtr store, const MaskedOptions& options);
  int64_t size() const override;
  /// As in epoch 0.
  std::vector<at::Tensor> get(int64_t index) const override { return get_in_epoch(index, 0); }
  /// Every epoch masks anew.
  std::vector<at::Tensor> get_in_epoch(int64_t index, int64_t epoch) const override;

 private:
  struct Part {
    int64_t begin, count;
  };
  Part part(int64_t index) const;

  TokenStorePtr store_;
  MaskedOptions options_;
  int64_t room_;             // tokens of the store in a sample
  std::vector<Part> parts_;  // by_document only
};

}  // namespace deepspeed::data
