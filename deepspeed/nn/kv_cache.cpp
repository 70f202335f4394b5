#include "deepspeed/nn/kv_cache.h"

#include <ATen/ops/empty.h>

#include "deepspeed/base/error.h"

namespace deepspeed::nn {

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
  held_keys.narrow(2, length_, count).copy_(keys);
  held_values.narrow(2, length_, count).copy_(values);
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
