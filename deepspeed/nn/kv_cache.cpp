#include "deepspeed/nn/kv_cache.h"

#include <ATen/ops/empty.h>

#include <cstring>

#include "deepspeed/base/error.h"

namespace deepspeed::nn {
namespace {

// states [B, H, T, D] into held [B, H, capacity, D], contiguous, from position `first` on. Row by row where
// they lie in memory as they are held: for one token a copy by libtorch takes longer than the attention.
void put(const at::Tensor& states, const at::Tensor& held, int64_t first) {
  if (!states.is_cpu() || states.scalar_type() != held.scalar_type() || states.stride(3) != 1) {
    held.narrow(2, first, states.size(2)).copy_(states);
    return;
  }
  const auto size = static_cast<int64_t>(states.element_size()), row = states.size(3) * size;
  const auto* from = static_cast<const char*>(states.const_data_ptr());
  auto* to = static_cast<char*>(held.data_ptr());
  for (int64_t b = 0; b < states.size(0); ++b)
    for (int64_t h = 0; h < states.size(1); ++h)
      for (int64_t t = 0; t < states.size(2); ++t)
        std::memcpy(to + (b * held.stride(0) + h * held.stride(1) + (first + t) * held.stride(2)) * size,
                    from + (b * states.stride(0) + h * states.stride(1) + t * states.stride(2)) * size,
                    static_cast<size_t>(row));
}

}  // namespace

ContiguousKvCache::ContiguousKvCache(size_t layers, int64_t capacity)
    : capacity_(capacity), buffers_(layers) {}

std::pair<at::Tensor, at::Tensor> ContiguousKvCache::append(size_t layer, const at::Tensor& keys,
                                                            const at::Tensor& values) {
  auto& [held_keys, held_values] = buffers_.at(layer);
  const int64_t count = keys.size(2), end = length_ + count;
  DS_CHECK(end <= capacity_, "the key-value cache holds {} positions, {} are needed", capacity_, end);
  if (!held_keys.defined()) {
    std::vector<int64_t> shape = {keys.size(0), keys.size(1), capacity_, keys.size(3)};
    held_keys = at::empty(shape, keys.options());
    held_values = at::empty(shape, values.options());
  }
  put(keys, held_keys, length_);
  put(values, held_values, length_);
  return {held_keys.narrow(2, 0, end), held_values.narrow(2, 0, end)};
}

template <class Change>
void ContiguousKvCache::replace_buffers(const Change& change) {
  for (auto& [keys, values] : buffers_)
    for (at::Tensor* held : {&keys, &values})
      if (held->defined()) *held = change(*held);
}

void ContiguousKvCache::reserve(int64_t capacity) {
  if (capacity <= capacity_) return;
  capacity_ = capacity;
  replace_buffers([&](const at::Tensor& held) {
    const at::Tensor larger = at::empty({held.size(0), held.size(1), capacity, held.size(3)}, held.options());
    larger.narrow(2, 0, length_).copy_(held.narrow(2, 0, length_));
    return larger;
  });
}

void ContiguousKvCache::select_rows(const std::vector<int64_t>& rows) {
  const at::Tensor any = buffers_.empty() ? at::Tensor() : buffers_[0].first;
  if (!any.defined()) return;
  const auto count = static_cast<int64_t>(rows.size());
  bool same = count == any.size(0);
  for (size_t i = 0; i < rows.size(); ++i) {
    DS_CHECK(rows[i] >= 0 && rows[i] < any.size(0), "the key-value cache has no row {} of {}", rows[i],
             any.size(0));
    same = same && rows[i] == static_cast<int64_t>(i);
  }
  if (same) return;
  replace_buffers([&](const at::Tensor& held) {
    const at::Tensor chosen = at::empty({count, held.size(1), capacity_, held.size(3)}, held.options());
    for (int64_t i = 0; i < count; ++i)
      chosen[i].narrow(1, 0, length_).copy_(held[rows[static_cast<size_t>(i)]].narrow(1, 0, length_));
    return chosen;
  });
}

}  // namespace deepspeed::nn
