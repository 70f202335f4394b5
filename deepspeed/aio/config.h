// The `aio` block: how files are read and written asynchronously.
#pragma once

#include <cstdint>

namespace deepspeed::aio {

struct AioConfig {
  /// Bytes of one transfer. Direct transfers are whole multiples of 4096 bytes.
  int64_t block_size = int64_t{1} << 20;
  /// Transfers that one worker keeps in flight.
  int queue_depth = 8;
  /// Workers of a handle; each takes one contiguous part of every request.
  int intra_op_parallelism = 1;
  /// One system call a transfer, instead of one for all that are ready.
  bool single_submit = false;
  /// Start a transfer as soon as another one ends; false: wait until all in flight have ended.
  bool overlap_events = true;
};

/// Beyond these a value can only be a mistake: io_uring takes no deeper queue, a transfer no more bytes.
constexpr int kMaxQueueDepth = 32768;
constexpr int kMaxWorkers = 1024;
constexpr int64_t kMaxBlockSize = 1'000'000'000;

}  // namespace deepspeed::aio
