#include "deepspeed/nn/memory_keys.h"

namespace deepspeed::nn {

const std::pair<at::Tensor, at::Tensor>* MemoryKeys::find(size_t layer) const {
  const auto& held = layers_.at(layer);
  return held.first.defined() ? &held : nullptr;
}

void MemoryKeys::keep(size_t layer, at::Tensor keys, at::Tensor values) {
  layers_.at(layer) = {std::move(keys), std::move(values)};
}

void MemoryKeys::select_rows(const at::Tensor& rows) {
  for (auto& [keys, values] : layers_)
    for (at::Tensor* held : {&keys, &values})
      if (held->defined()) *held = held->index_select(0, rows);
}

}  // namespace deepspeed::nn
