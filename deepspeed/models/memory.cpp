#include "deepspeed/models/memory.h"

#include <ATen/ops/tensor.h>

#include <numeric>

#include "deepspeed/base/error.h"

namespace deepspeed::models {

Memory::Memory(at::Tensor states, std::optional<at::Tensor> ends, int64_t kept_layers)
    : states_(std::move(states)), ends_(std::move(ends)), origins_(static_cast<size_t>(states_.size(0))) {
  if (kept_layers > 0) keys_.emplace(static_cast<size_t>(kept_layers));
  std::iota(origins_.begin(), origins_.end(), 0);
}

nn::AttentionInputs Memory::inputs() {
  return {.end_key = ends_, .memory = states_, .memory_keys = keys_ ? &*keys_ : nullptr};
}

void Memory::select_rows(const std::vector<int64_t>& rows) {
  std::vector<int64_t> origins;
  for (const int64_t row : rows) {
    DS_CHECK(row >= 0 && row < static_cast<int64_t>(origins_.size()), "the memory has no row {} of {}", row,
             origins_.size());
    origins.push_back(origins_[static_cast<size_t>(row)]);
  }
  if (origins == origins_) return;
  origins_ = std::move(origins);
  const at::Tensor chosen = at::tensor(rows, at::TensorOptions(at::kLong).device(states_.device()));
  states_ = states_.index_select(0, chosen);
  if (ends_) ends_ = ends_->index_select(0, chosen.to(ends_->device()));
  if (keys_) keys_->select_rows(chosen);
}

}  // namespace deepspeed::models
