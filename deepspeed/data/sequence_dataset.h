// Sequences that encoders learn from, each with its padding.
#pragma once

#include <vector>

#include "deepspeed/data/loader.h"

namespace deepspeed::data {

struct Sequence {
  std::vector<int64_t> ids, token_types;  // token_types may be empty: 0
  std::vector<int64_t> labels;            // of every token, or a span's first and last token, or empty
  double label = 0;                       // of the whole, where `labels` is empty
};

enum class LabelKind { kTokens, kSpan, kClass, kValue };

/// A sample is {ids int64 [N], labels, token_types int64 [N], end int32 []}: `end` is where padding begins.
/// Labels are int64 [N] (-100 at padding) for tokens, int64 [2] for a span, int64 [] for a class, float []
/// for a value.
class SequenceDataset : public Dataset {
 public:
  /// Every sequence has at least one and at most `length` tokens; `padding` is the id that fills it up.
  SequenceDataset(std::vector<Sequence> sequences, LabelKind kind, int64_t length, int64_t padding);
  int64_t size() const override { return static_cast<int64_t>(sequences_.size()); }
  std::vector<at::Tensor> get(int64_t index) const override;

 private:
  std::vector<Sequence> sequences_;
  LabelKind kind_;
  int64_t length_, padding_;
};

}  // namespace deepspeed::data
