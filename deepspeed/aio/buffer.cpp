#include "deepspeed/aio/buffer.h"

#include <sys/mman.h>

#include <cstdint>
#include <utility>

#include "deepspeed/aio/plan.h"
#include "deepspeed/base/error.h"
#include "deepspeed/base/mapping.h"

namespace deepspeed::aio {

Buffer::Buffer(size_t bytes, Lock lock) : size_(bytes) {
  if (bytes == 0) return;
  const size_t align = bytes < base::kHugePage ? kPage : base::kHugePage;
  const bool fits = bytes <= SIZE_MAX / 2;
  mapped_ = fits ? (bytes + align - 1) / align * align : 0;
  data_ = fits ? static_cast<std::byte*>(base::map_memory(mapped_, align)) : nullptr;
  if (data_ == nullptr) base::fail("no memory for a buffer of {} bytes", bytes);
  locked_ = lock == Lock::kWherePossible && ::mlock(data_, mapped_) == 0;
}

Buffer::~Buffer() {
  if (data_ != nullptr) base::unmap_memory(data_, mapped_);
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
