#include "deepspeed/ops/huge_pages.h"

#include <ATen/ATen.h>
#include <c10/core/CPUAllocator.h>

#include <algorithm>
#include <deque>
#include <iterator>
#include <mutex>

#include "deepspeed/accel/memory.h"
#include "deepspeed/base/error.h"
#include "deepspeed/base/mapping.h"

namespace deepspeed::ops {
namespace {

// Blocks that a process which keeps its freed memory will want again, the last ones that were freed.
class FreeBlocks {
 public:
  void* take(size_t bytes) {
    const std::lock_guard lock(mutex_);
    const auto found = std::find_if(blocks_.rbegin(), blocks_.rend(),
                                    [&](const Block& block) { return block.bytes == bytes; });
    if (found == blocks_.rend()) return nullptr;
    void* memory = found->memory;
    kept_ -= bytes;
    blocks_.erase(std::next(found).base());
    return memory;
  }
  void give(void* memory, size_t bytes) {
    constexpr size_t kMost = size_t{512} << 20;
    const std::lock_guard lock(mutex_);
    blocks_.push_back({memory, bytes});
    kept_ += bytes;
    while (kept_ > kMost || (kept_ > 0 && !accel::keeps_freed_memory())) {
      base::unmap_memory(blocks_.front().memory, blocks_.front().bytes);
      kept_ -= blocks_.front().bytes;
      blocks_.pop_front();
    }
  }

 private:
  struct Block {
    void* memory;
    size_t bytes;
  };
  std::mutex mutex_;
  std::deque<Block> blocks_;  // oldest first
  size_t kept_ = 0;
};

// Never destroyed: tensors may outlive static objects.
FreeBlocks& free_blocks() {
  static auto& blocks = *new FreeBlocks;
  return blocks;
}

// Not from the heap: that would be cut up, and grow by another such block every few steps.
void* new_block(size_t bytes) {
  void* memory = base::map_memory(bytes, base::kHugePage);
  DS_CHECK(memory, "out of memory: a buffer of {} MB could not be had; use a smaller batch", bytes >> 20);
  return memory;
}

}  // namespace

at::Tensor empty_huge(at::IntArrayRef sizes, at::ScalarType type) {
  const auto options = at::TensorOptions().dtype(type);
  const size_t bytes = static_cast<size_t>(c10::multiply_integers(sizes)) * c10::elementSize(type);
  if (bytes < base::kHugePage) return at::empty(sizes, options);
  const size_t whole = (bytes + base::kHugePage - 1) / base::kHugePage * base::kHugePage;
  void* memory = free_blocks().take(whole);
  if (memory == nullptr) memory = new_block(whole);
  // Counted where libtorch's own allocations are (accel/tensor_memory.h).
  c10::profiledCPUMemoryReporter().New(memory, whole);
  return at::from_blob(
      memory, sizes,
      [whole](void* p) {
        c10::profiledCPUMemoryReporter().Delete(p);
        free_blocks().give(p, whole);
      },
      options);
}

}  // namespace deepspeed::ops
