#include "deepspeed/data/sequence_dataset.h"

#include <ATen/ops/full.h>
#include <ATen/ops/scalar_tensor.h>

#include <algorithm>

namespace deepspeed::data {
namespace {

constexpr int64_t kIgnored = -100;

at::Tensor filled_up(const std::vector<int64_t>& values, int64_t length, int64_t filling) {
  at::Tensor row = at::full({length}, filling, at::kLong);
  std::copy(values.begin(), values.end(), row.mutable_data_ptr<int64_t>());
  return row;
}

}  // namespace

SequenceDataset::SequenceDataset(std::vector<Sequence> sequences, LabelKind kind, int64_t length,
                                 int64_t padding)
    : sequences_(std::move(sequences)), kind_(kind), length_(length), padding_(padding) {}

std::vector<at::Tensor> SequenceDataset::get(int64_t index) const {
  const Sequence& s = sequences_[static_cast<size_t>(index)];
  at::Tensor labels;
  if (kind_ == LabelKind::kTokens)
    labels = filled_up(s.labels, length_, kIgnored);
  else if (kind_ == LabelKind::kSpan)
    labels = filled_up(s.labels, 2, 0);
  else
    labels = at::scalar_tensor(s.label, kind_ == LabelKind::kClass ? at::kLong : at::kFloat);
  return {filled_up(s.ids, length_, padding_), labels, filled_up(s.token_types, length_, 0),
          at::scalar_tensor(static_cast<int64_t>(s.ids.size()), at::kInt)};
}

}  // namespace deepspeed::data
