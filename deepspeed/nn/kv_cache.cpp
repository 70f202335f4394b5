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

}  // namespace deepspeed::nn
