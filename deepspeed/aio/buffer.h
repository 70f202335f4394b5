// Memory that disks may be read into directly.
#pragma once

#include <cstddef>
#include <span>

namespace deepspeed::aio {

/// Memory that begins at a page, in huge pages where the kernel has them, filled with zeros. Movable.
class Buffer {
 public:
  enum class Lock { kNo, kWherePossible };
  Buffer() = default;
  /// kWherePossible keeps the pages in RAM as far as RLIMIT_MEMLOCK allows; beyond it the memory is ordinary.
  /// Error when there is no memory.
  explicit Buffer(size_t bytes, Lock lock = Lock::kWherePossible);
  ~Buffer();
  Buffer(Buffer&& other) noexcept;
  Buffer& operator=(Buffer&& other) noexcept;

  std::byte* data() const { return data_; }
  size_t size() const { return size_; }
  std::span<std::byte> bytes() const { return {data_, size_}; }
  bool locked() const { return locked_; }

 private:
  std::byte* data_ = nullptr;
  size_t size_ = 0, mapped_ = 0;
  bool locked_ = false;
};

}  // namespace deepspeed::aio
