// How much memory tensors take, counted where libtorch allocates it: what the operating system counts moves
// in pages and hardly ever falls.
#pragma once

#include <cstdint>
#include <memory>

namespace deepspeed::accel {

/// While it lives, counts the tensor memory that this thread and the backwards it starts allocate, and what
/// of that is freed. Not for memory that was there before. One at a time a thread.
class TensorMemory {
 public:
  TensorMemory();
  ~TensorMemory();
  TensorMemory(const TensorMemory&) = delete;
  TensorMemory& operator=(const TensorMemory&) = delete;

  /// Bytes held now, and at most so far.
  int64_t bytes() const;
  int64_t peak_bytes() const;

 private:
  class Counter;
  struct Guard;
  std::shared_ptr<Counter> counter_;
  std::unique_ptr<Guard> guard_;
};

}  // namespace deepspeed::accel
