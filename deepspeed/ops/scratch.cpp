#include "deepspeed/ops/scratch.h"

#include <sys/mman.h>

#include <cstdlib>
#include <memory>

#include "deepspeed/base/error.h"
#include "deepspeed/base/mapping.h"

namespace deepspeed::ops {
namespace {

struct Free {
  void operator()(void* p) const { std::free(p); }
};

}  // namespace

void* thread_scratch(int64_t bytes) {
  using base::kHugePage;
  thread_local std::unique_ptr<void, Free> memory;
  thread_local size_t size = 0;
  if (static_cast<size_t>(bytes) > size) {
    const size_t whole = (static_cast<size_t>(bytes) + kHugePage - 1) / kHugePage * kHugePage;
    memory.reset(std::aligned_alloc(kHugePage, whole));
    size = memory ? whole : 0;
    DS_CHECK(memory, "out of memory: {} MB for a matrix product could not be had; use a smaller batch",
             whole >> 20);
    ::madvise(memory.get(), whole, MADV_HUGEPAGE);
  }
  return memory.get();
}

}  // namespace deepspeed::ops
