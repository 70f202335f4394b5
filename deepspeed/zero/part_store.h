// Where a rank keeps its parts of sharded parameters: in memory, and what there is no room for in a file
// without a name (ZeRO-Infinity). Mirrors DeepSpeed's runtime/swap_tensor/partitioned_param_swapper.py.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <deque>
#include <exception>
#include <filesystem>
#include <memory>
#include <optional>

#include "deepspeed/aio/handle.h"

namespace deepspeed::zero {

struct PartFileOptions {
  std::filesystem::path folder;  // made where it does not exist
  int64_t max_in_memory = 0;     // elements that stay in memory, whole parts, the first ones
  int64_t reads_ahead = 5;       // most parts that are read ahead of their use at once
  aio::AioConfig aio = {};
  aio::BackendFactory backend = {};  // empty: the kernel's best
};

/// `numel` elements, of which the first `in_memory` are in memory and the others in a file. A run that is
/// named by its first element lies on one side. Used by one thread.
class PartStore {
 public:
  /// Zeros in memory; what is in the file must be written before it is read. No file: all is in memory. On a
  /// device all of it is, in the device's memory.
  PartStore(int64_t numel, int64_t in_memory, at::ScalarType dtype,
            const std::optional<PartFileOptions>& file, at::Device device = at::kCPU);

  /// What is in memory, [in_memory].
  const at::Tensor& memory() const { return memory_; }
  at::ScalarType dtype() const { return memory_.scalar_type(); }
  int64_t element_size() const { return static_cast<int64_t>(memory_.element_size()); }
  bool is_stored(int64_t begin) const { return begin >= memory_.numel(); }

  /// A view of what is in memory, else a copy.
  at::Tensor read(int64_t begin, int64_t count) const;
  /// To the file in the background, from a copy; what was written is what later reads find.
  void write(int64_t begin, const at::Tensor& values);
  /// Returns when the file holds all that was written. The Error of a write may come from here, or from any
  /// read or write after it; with it all writes before have ended, and later ones know nothing of it.
  void finish_writes() const;

  /// Of what is stored: reads into `out` until wait() has returned, or cancel().
  aio::Ticket start_read(int64_t begin, const at::Tensor& out);
  void wait(aio::Ticket ticket);
  void cancel();

  int64_t bytes_on_disk() const { return disk_ ? offset(numel_) : 0; }

 private:
  int64_t offset(int64_t begin) const { return (begin - memory_.numel()) * element_size(); }

  int64_t numel_;
  at::Tensor memory_;
  struct Disk {
    aio::File file;
    struct Write {
      aio::Ticket ticket;
      int64_t begin;
      at::Tensor values;
    };
    mutable std::deque<Write> writes;  // in the background, oldest first; they outlive the handle
    mutable aio::Handle handle;
  };
  void finish_oldest_write() const;
  std::exception_ptr end_writes() const;  // waits for all; the first failure
  bool is_being_written(int64_t begin, int64_t count) const;

  std::unique_ptr<Disk> disk_;
};

}  // namespace deepspeed::zero
