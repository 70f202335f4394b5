#include "deepspeed/inference/tasks/encoder_batch.h"

#include <ATen/ops/full.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <cmath>

#include "deepspeed/base/error.h"

namespace deepspeed::inference {

models::EncoderInput encoder_batch(std::span<const text::Encoding* const> rows, const models::ArchSpec& spec,
                                   at::Device device) {
  size_t longest = 0, shortest = rows.empty() ? 0 : rows[0]->size();
  for (const text::Encoding* row : rows) {
    DS_CHECK(row->size() > 0, "a text without tokens has no answer");
    DS_CHECK(static_cast<int64_t>(row->size()) <= spec.max_positions,
             "a text of {} tokens is longer than the model's {} positions", row->size(), spec.max_positions);
    for (const int32_t id : row->ids)
      DS_CHECK(id >= 0 && id < spec.vocab, "the tokenizer's token {} is not in the model's vocabulary of {}",
               id, spec.vocab);
    longest = std::max(longest, row->size());
    shortest = std::min(shortest, row->size());
  }
  const auto count = static_cast<int64_t>(rows.size()), length = static_cast<int64_t>(longest);
  models::EncoderInput input{at::full({count, length}, spec.padding_token.value_or(0), at::kLong), {}, {}};
  // Models of one type of tokens, such as RoBERTa, are not told of two.
  const bool typed = spec.token_types > 1;
  if (typed) input.token_types = at::zeros({count, length}, at::kLong);
  std::vector<int32_t> ends;
  for (int64_t r = 0; r < count; ++r) {
    const text::Encoding& row = *rows[static_cast<size_t>(r)];
    std::copy(row.ids.begin(), row.ids.end(), input.ids.mutable_data_ptr<int64_t>() + r * length);
    if (typed)
      for (size_t i = 0; i < row.size(); ++i) {
        DS_CHECK(row.type_ids[i] < spec.token_types,
                 "the tokenizer's token type {} is not one of the model's {}", row.type_ids[i],
                 spec.token_types);
        input.token_types->mutable_data_ptr<int64_t>()[r * length + static_cast<int64_t>(i)] =
            row.type_ids[i];
      }
    ends.push_back(static_cast<int32_t>(row.size()));
  }
  if (shortest < longest) input.ends = at::tensor(ends, at::kInt).to(device);
  input.ids = input.ids.to(device);
  if (typed) input.token_types = input.token_types->to(device);
  return input;
}

models::EncoderInput encoder_batch(const text::Encoding& row, const models::ArchSpec& spec,
                                   at::Device device) {
  const text::Encoding* rows[] = {&row};
  return encoder_batch(rows, spec, device);
}

std::vector<float> softmax(std::span<const float> scores) {
  const float most = *std::max_element(scores.begin(), scores.end());
  std::vector<float> out;
  float sum = 0;
  for (const float score : scores) sum += out.emplace_back(std::exp(score - most));
  for (float& value : out) value /= sum;
  return out;
}

std::string label_name(const models::ArchSpec& spec, size_t id) {
  return id < spec.label_names.size() ? spec.label_names[id] : "LABEL_" + std::to_string(id);
}

}  // namespace deepspeed::inference
