// Memory of a long-lived buffer that a tensor of somebody else's uses for a while.
#pragma once

#include <ATen/core/Tensor.h>

#include <optional>

namespace deepspeed::zero {

class LentMemory {
 public:
  /// A tensor over the memory of `target` (contiguous), which it keeps alive, with a storage of its own:
  /// autograd takes it for nobody else's and may add to it in place. Only while nothing is lent.
  at::Tensor lend(const at::Tensor& target);
  /// Whether a lent tensor, or a view of one, is still held by anybody.
  bool is_lent() const { return storage_ && storage_->use_count() > 0; }
  /// Takes the memory back: who still holds the lent tensor finds its values in memory of its own.
  void recall();

 private:
  std::optional<c10::weak_intrusive_ptr<c10::StorageImpl>> storage_;  // of the lent tensor
};

}  // namespace deepspeed::zero
