#include "deepspeed/zero/lent_memory.h"

#include <ATen/ops/from_blob.h>
#include <c10/core/CPUAllocator.h>

#include <cstring>

#include "deepspeed/base/error.h"

namespace deepspeed::zero {

at::Tensor LentMemory::lend(const at::Tensor& target) {
  DS_CHECK(!is_lent(), "memory that is lent already was to be lent again");
  at::Tensor lent = at::from_blob(
      target.data_ptr(), target.sizes(), [target](void*) {}, target.options());
  storage_.emplace(lent.storage().getWeakStorageImpl());
  return lent;
}

void LentMemory::recall() {
  const auto storage = storage_ ? storage_->lock() : nullptr;
  if (storage == nullptr) return;
  at::DataPtr own = c10::GetCPUAllocator()->allocate(storage->nbytes());
  std::memcpy(own.get(), storage->data(), storage->nbytes());
  storage->set_data_ptr_noswap(std::move(own));
  storage_.reset();
}

}  // namespace deepspeed::zero
