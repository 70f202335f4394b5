#include "deepspeed/ops/huge_pages.h"

#include <ATen/ATen.h>
#include <c10/core/CPUAllocator.h>
#include <sys/mman.h>

#include <cstdlib>

#include "deepspeed/base/error.h"

namespace deepspeed::ops {

at::Tensor empty_huge(at::IntArrayRef sizes, at::ScalarType type) {
  constexpr size_t kHugePage = size_t{2} << 20;
  const auto options = at::TensorOptions().dtype(type);
  const size_t bytes = static_cast<size_t>(c10::multiply_integers(sizes)) * c10::elementSize(type);
  if (bytes < kHugePage) return at::empty(sizes, options);
  const size_t whole = (bytes + kHugePage - 1) / kHugePage * kHugePage;
  void* memory = std::aligned_alloc(kHugePage, whole);
  DS_CHECK(memory, "out of memory: a buffer of {} MB could not be had; use a smaller batch", bytes >> 20);
  ::madvise(memory, whole, MADV_HUGEPAGE);  // a hint: small pages are slower, not wrong
  // Counted where libtorch's own allocations are (accel/tensor_memory.h).
  c10::profiledCPUMemoryReporter().New(memory, whole);
  return at::from_blob(
      memory, sizes,
      [](void* p) {
        c10::profiledCPUMemoryReporter().Delete(p);
        std::free(p);
      },
      options);
}

}  // namespace deepspeed::ops
