// What cross-attention remembers between calls of a generation: the keys and values of a memory, an encoder's
// states, that does not grow.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstddef>
#include <utility>
#include <vector>

namespace deepspeed::nn {

/// Every layer makes its own of the memory, once.
class MemoryKeys {
 public:
  explicit MemoryKeys(size_t layers) : layers_(layers) {}
  /// Keys and values [B, Hkv, S, D] of one layer; null before keep().
  const std::pair<at::Tensor, at::Tensor>* find(size_t layer) const;
  void keep(size_t layer, at::Tensor keys, at::Tensor values);
  /// Row i of the batch becomes what row rows[i] (int64) was.
  void select_rows(const at::Tensor& rows);

 private:
  std::vector<std::pair<at::Tensor, at::Tensor>> layers_;
};

}  // namespace deepspeed::nn
