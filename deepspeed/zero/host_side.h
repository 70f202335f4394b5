// What an optimizer that lives beside the device (offload_optimizer.device "cpu", parameters on a GPU) shares
// with it: page-locked memory, and copies on a stream of their own that overlap with the device's computation
// and with the CPU's. Mirrors DeepSpeed's async_accumulate_grad_in_cpu_via_gpu
// (runtime/zero/stage_1_and_2.py).
#pragma once

#include <ATen/core/Tensor.h>

#include <memory>

#include "deepspeed/accel/side_stream.h"
#include "deepspeed/zero/config.h"

namespace deepspeed::zero {

/// Used by one thread at a time.
class HostSide {
 public:
  explicit HostSide(at::Device device) : stream_(device) {}
  /// Null unless the configuration keeps optimizer states on the CPU and `device` is another place.
  static std::shared_ptr<HostSide> where_wanted(const OffloadOptimizerConfig& config, at::Device device);

  /// Zeros in page-locked memory.
  static at::Tensor memory(int64_t numel, at::ScalarType dtype);

  /// host (page-locked) = values (on the device), or += values, once what computes those is done. Returns at
  /// once; values may be freed or, after settle(), changed.
  void fetch(const at::Tensor& host, const at::Tensor& values, bool add);
  /// Returns when the host may read all that was fetched.
  void wait() { stream_.wait(); }
  /// target (on the device) = host's values (page-locked), which stay as they are until wait(). Returns at
  /// once.
  void give(const at::Tensor& target, const at::Tensor& host);
  /// What the device is told to do from now on sees all that was given.
  void settle() { stream_.join(); }

 private:
  accel::SideStream stream_;
};

}  // namespace deepspeed::zero
