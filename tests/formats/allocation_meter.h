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

 private:
  size_t start_;
};

}  // namespace deepspeed::formats
