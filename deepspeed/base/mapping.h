// Anonymous memory straight from the kernel: given back as a whole, so that a heap cannot be cut up by it.
#pragma once

#include <cstddef>

namespace deepspeed::base {

inline constexpr size_t kHugePage = size_t{2} << 20;

/// `bytes` (a multiple of `align`, which is a power of two and whole pages) of zeros that begin at a multiple
/// of `align`; null where there is no room. In huge pages, as far as the kernel has some, if `align` is one.
void* map_memory(size_t bytes, size_t align);
void unmap_memory(void* memory, size_t bytes);

}  // namespace deepspeed::base
