#include "allocation_meter.h"

#include <malloc.h>

#include <atomic>
#include <cstdlib>
#include <new>

// What libraries allocate by their own operator new is freed by ours: malloc is behind both.
extern "C" const char* __asan_default_options();
extern "C" const char* __asan_default_options() { return "alloc_dealloc_mismatch=0"; }

namespace {

std::atomic<size_t> g_held{0}, g_peak{0};

void* allocate(size_t bytes) {
  void* memory = std::malloc(bytes == 0 ? 1 : bytes);
  if (memory == nullptr) throw std::bad_alloc();
  const size_t held = g_held += ::malloc_usable_size(memory);
  size_t peak = g_peak;
  while (held > peak && !g_peak.compare_exchange_weak(peak, held)) continue;
  return memory;
}

void release(void* memory) noexcept {
  if (memory == nullptr) return;
  g_held -= ::malloc_usable_size(memory);
  std::free(memory);
}

}  // namespace

void* operator new(size_t bytes) { return allocate(bytes); }
void* operator new[](size_t bytes) { return allocate(bytes); }
void operator delete(void* memory) noexcept { release(memory); }
void operator delete[](void* memory) noexcept { release(memory); }
void operator delete(void* memory, size_t) noexcept { release(memory); }
void operator delete[](void* memory, size_t) noexcept { release(memory); }

namespace deepspeed::formats {

AllocationMeter::AllocationMeter() : start_(g_held) { g_peak = start_; }

size_t AllocationMeter::peak() const { return g_peak - start_; }

}  // namespace deepspeed::formats
