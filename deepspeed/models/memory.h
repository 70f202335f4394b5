// What an encoder has made of a batch, as a decoder attends to it.
#pragma once

#include <optional>
#include <vector>

#include "deepspeed/nn/attention.h"

namespace deepspeed::models {

class Memory {
 public:
  /// `states` [B, S, hidden]; `ends` int32 [B], where each row's padding begins, nothing: nowhere. With
  /// `kept_layers`, the decoder's number, the first forward keeps each layer's keys and values for the next
  /// ones.
  explicit Memory(at::Tensor states, std::optional<at::Tensor> ends = std::nullopt, int64_t kept_layers = 0);
  /// What cross-attention is given.
  nn::AttentionInputs inputs();
  /// Row i becomes what row rows[i] was. Rows made from the same one are the same: nothing moves where only
  /// such change places.
  void select_rows(const std::vector<int64_t>& rows);

 private:
  at::Tensor states_;
  std::optional<at::Tensor> ends_;
  std::optional<nn::MemoryKeys> keys_;
  std::vector<int64_t> origins_;  // the first row of which each is a copy
};

}  // namespace deepspeed::models
