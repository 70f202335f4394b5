#include "deepspeed/ops/huge_pages.h"

#include <ATen/ATen.h>
#include <c10/core/CPUAllocator.h>
#include <sys/mman.h>

#include <cstdlib>
#include <map>
#include <mutex>

#include "deepspeed/accel/memory.h"
#include "deepspeed/base/error.h"

namespace deepspeed::ops {
namespace {

constexpr size_t kHugePage = size_t{2} << 20;

// Blocks that a process which keeps its freed memory will want again: the heap would cut them up and grow by
// another one every few steps.
class FreeBlocks {
 public:
  void* take(size_t bytes) {
    const std::lock_guard lock(mutex_);
    const auto found = blocks_.find(bytes);
    if (found == blocks_.end()) return nullptr;
    void* block = found->second;
    kept_ -= bytes;
    blocks_.erase(found);
    return block;
  }
  /// Whether it is kept: then it is no longer the caller's.
  bool give(void* block, size_t bytes) {
    constexpr size_t kMost = size_t{256} << 20;
    const std::lock_guard lock(mutex_);
    if (!accel::keeps_freed_memory() || kept_ + bytes > kMost) return false;
    blocks_.emplace(bytes, block);
    kept_ += bytes;
    return true;
  }

 private:
  std::mutex mutex_;
  std::multimap<size_t, void*> blocks_;  // by size
  size_t kept_ = 0;
};

// Never destroyed: tensors may outlive static objects.
FreeBlocks& free_blocks() {
  static auto& blocks = *new FreeBlocks;
  return blocks;
}

void* new_block(size_t bytes) {
  void* memory = std::aligned_alloc(kHugePage, bytes);
  DS_CHECK(memory, "out of memory: a buffer of {} MB could not be had; use a smaller batch", bytes >> 20);
  ::madvise(memory, bytes, MADV_HUGEPAGE);  // a hint: small pages are slower, not wrong
  return memory;
}

}  // namespace

at::Tensor empty_huge(at::IntArrayRef sizes, at::ScalarType type) {
  const auto options = at::TensorOptions().dtype(type);
  const size_t bytes = static_cast<size_t>(c10::multiply_integers(sizes)) * c10::elementSize(type);
  if (bytes < kHugePage) return at::empty(sizes, options);
  const size_t whole = (bytes + kHugePage - 1) / kHugePage * kHugePage;
  void* memory = free_blocks().take(whole);
  if (memory == nullptr) memory = new_block(whole);
  // Counted where libtorch's own allocations are (accel/tensor_memory.h).
  c10::profiledCPUMemoryReporter().New(memory, whole);
  return at::from_blob(
      memory, sizes,
      [whole](void* p) {
        c10::profiledCPUMemoryReporter().Delete(p);
        if (!free_blocks().give(p, whole)) std::free(p);
      },
      options);
}

}  // namespace deepspeed::ops
