// Bytes of files that are wanted again and again in one order, more of them than memory holds: what comes
// next is read while what came before is used (ZeRO-Inference, ZeRO-Infinity's prefetch). Mirrors DeepSpeed's
// runtime/swap_tensor/partitioned_param_swapper.py.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>
#include <vector>

#include "deepspeed/aio/handle.h"
#include "deepspeed/zero/stream_plan.h"

namespace deepspeed::zero {

/// What is wanted at once.
struct StreamedUnit {
  std::string name;  // for messages
  std::vector<StreamedRange> ranges;
};

struct WeightStreamOptions {
  /// Memory is so many times the largest unit, at least 2; more where the disk's queue would not fill it,
  /// less where all units together are less.
  size_t buffers = 5;
  bool pin = true;  // keep the memory in RAM as far as the limits allow
  aio::AioConfig aio = {.queue_depth = 16};
  aio::BackendFactory backend = {};  // empty: the kernel's best
};

/// Units are taken to be wanted in the order in which they are given, over and over; where they are not, the
/// stream reads what is wanted and expects the same order next time. Used by one thread.
class WeightStream {
 public:
  /// Reads nothing yet.
  WeightStream(std::vector<aio::File> files, std::vector<StreamedUnit> units,
               const WeightStreamOptions& options);

  /// Waits until the unit is in memory; where each of its ranges begins, until release(). One unit is held at
  /// a time: another one that is still held is let go. Errors: a file that is shorter than it was or cannot
  /// be read, or that somebody has written to since the stream was made. After any of them the stream can be
  /// used again.
  std::vector<std::byte*> acquire(size_t unit);
  void release();

  size_t units() const { return units_.size(); }
  /// Bytes of memory that units are read into.
  size_t memory() const { return memory_.size(); }
  /// Bytes that a round over all units reads.
  int64_t round_bytes() const;
  /// Bytes of the units that were acquired.
  int64_t bytes_used() const { return bytes_used_; }
  /// How long acquire() has waited for the disk, in seconds.
  double seconds_waited() const { return seconds_waited_; }
  /// Units that came in another order than expected.
  int64_t surprises() const { return surprises_; }

 private:
  struct Unit {
    std::string name;
    UnitReads plan;
    std::vector<size_t> files;
    size_t next;  // the unit that follows
  };
  struct Source {
    aio::File file;
    int64_t bytes, modified;  // when the stream was made; nanoseconds
  };
  struct Slot {
    size_t unit, begin;
    std::vector<aio::Ticket> tickets;
  };
  bool start(size_t unit);
  void read_ahead();
  void expect(size_t unit);
  void discard();
  void check_unchanged(const Unit& unit) const;

  std::vector<Source> sources_;
  std::vector<Unit> units_;
  aio::Buffer memory_;  // outlives the handle
  Ring ring_{0};
  aio::Handle handle_;
  std::deque<Slot> slots_;  // in memory or on the way, in the order of their use; the first one may be held
  bool held_ = false;
  size_t last_ = 0;
  int64_t bytes_used_ = 0, surprises_ = 0;
  double seconds_waited_ = 0;
};

}  // namespace deepspeed::zero
