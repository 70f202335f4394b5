// Tells ThreadSanitizer (preset tsan) about accesses that it cannot see: those of libraries built without it.
#pragma once

#include <cstddef>

#ifdef __SANITIZE_THREAD__
extern "C" {
void __tsan_read_range(void* address, unsigned long bytes);
void __tsan_write_range(void* address, unsigned long bytes);
}
#endif

namespace deepspeed::base {

#ifdef __SANITIZE_THREAD__
inline constexpr bool kDetectsRaces = true;
inline void note_read(const void* address, size_t bytes) {
  __tsan_read_range(const_cast<void*>(address), bytes);
}
inline void note_write(void* address, size_t bytes) { __tsan_write_range(address, bytes); }
#else
inline constexpr bool kDetectsRaces = false;
inline void note_read(const void*, size_t) {}
inline void note_write(void*, size_t) {}
#endif

}  // namespace deepspeed::base
