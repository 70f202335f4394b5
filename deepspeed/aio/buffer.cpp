#include "deepspeed/aio/buffer.h"

#include <sys/mman.h>

#include <cstdint>
#include <utility>

#include "deepspeed/aio/plan.h"
#include "deepspeed/base/error.h"

namespace deepspeed::aio {
namespace {

constexpr size_t kHugePage = size_t{2} << 20;

// A mapping that begins at a multiple of `align`: what is mapped too much before and behind is given back.
std::byte* map_aligned(size_t bytes, size_t align) {
  void* mapped = ::mmap(nullptr, bytes + align, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (mapped == MAP_FAILED) return nullptr;
  auto* begin = static_cast<std::byte*>(mapped);
  const size_t before = (align - reinterpret_cast<uintptr_t>(begin) % align) % align;
  if (before > 0) ::munmap(begin, before);
  ::munmap(begin + before + bytes, align - before);
  return begin + before;
}

}  // namespace

Buffer::Buffer(size_t bytes, Lock lock) : size_(bytes) {
  if (bytes == 0) return;
  const size_t align = bytes < kHugePage ? kPage : kHugePage;
  const bool fits = bytes <= SIZE_MAX / 2;
  mapped_ = fits ? (bytes + align - 1) / align * align : 0;
  data_ = fits ? map_aligned(mapped_, align) : nullptr;
  if (data_ == nullptr) base::fail("no memory for a buffer of {} bytes", bytes);
  if (align == kHugePage) ::madvise(data_, mapped_, MADV_HUGEPAGE);
  locked_ = lock == Lock::kWherePossible && ::mlock(data_, mapped_) == 0;
}

Buffer::~Buffer() {
  if (data_ != nullptr) ::munmap(data_, mapped_);
}

Buffer::Buffer(Buffer&& other) noexcept { *this = std::move(other); }

Buffer& Buffer::operator=(Buffer&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  std::swap(mapped_, other.mapped_);
  std::swap(locked_, other.locked_);
  return *this;
}

}  // namespace deepspeed::aio
