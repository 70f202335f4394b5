// How much memory a call takes from operator new at most: what a broken file may not make us allocate.
#pragma once

#include <cstddef>

namespace deepspeed::formats {

/// From its construction on. One at a time; other threads count as well.
class AllocationMeter {
 public:
  AllocationMeter();
  /// The most bytes that were held at once beyond those at the start.
  size_t peak() const;
  /// Whether that is no more than a file of so many bytes justifies.
  bool fits(size_t file_bytes) const { return peak() <= 64 * 1024 + 100 * file_bytes; }

 private:
  size_t start_;
};

}  // namespace deepspeed::formats
