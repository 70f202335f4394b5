#include "deepspeed/base/mapping.h"

#include <sys/mman.h>

#include <cstdint>

namespace deepspeed::base {

// What is mapped too much before and behind is given back.
void* map_memory(size_t bytes, size_t align) {
  if (bytes > SIZE_MAX / 2) return nullptr;
  void* mapped = ::mmap(nullptr, bytes + align, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (mapped == MAP_FAILED) return nullptr;
  auto* begin = static_cast<std::byte*>(mapped);
  const size_t before = (align - reinterpret_cast<uintptr_t>(begin) % align) % align;
  if (before > 0) ::munmap(begin, before);
  ::munmap(begin + before + bytes, align - before);
  if (align == kHugePage)
    ::madvise(begin + before, bytes, MADV_HUGEPAGE);  // a hint: small pages are slower, not wrong
  return begin + before;
}

void unmap_memory(void* memory, size_t bytes) { ::munmap(memory, bytes); }

}  // namespace deepspeed::base
