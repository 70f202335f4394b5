// Memory for gathered parameters, used again and again: a fresh buffer of 100 MB costs tens of milliseconds
// of page faults each time.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <map>

namespace deepspeed::zero {

/// Used by one thread. On a device, of one stream.
class BufferPool {
 public:
  explicit BufferPool(at::Device device = at::kCPU) : device_(device) {}

  /// At least `bytes` (> 0) uninitialised bytes, 64-byte aligned.
  at::Tensor take(int64_t bytes);
  /// Takes back what take() gave.
  void give_back(at::Tensor buffer);
  /// Ends a step, or what else repeats itself: what waited through all of it without being taken is freed.
  void end_round();

  /// Bytes that are handed out, and those that wait for their next use.
  int64_t bytes_in_use() const { return in_use_; }
  int64_t bytes_idle() const;

 private:
  struct Idle {
    at::Tensor buffer;
    int64_t since = 0;  // the round in which it was given back
  };

  at::Device device_;
  std::multimap<int64_t, Idle> idle_;  // by size; of one size the last that came back is last
  int64_t in_use_ = 0, round_ = 0;
};

}  // namespace deepspeed::zero
