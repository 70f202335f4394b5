// What the ranks of one host pass through shared memory. Internal to comm.
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "deepspeed/comm/shm_memory.h"
#include "deepspeed/comm/shm_protocol.h"

namespace deepspeed::comm {

/// Counters that processes share, and the futex.
struct SystemSync {
  using Counter = std::atomic<uint32_t>;
  // About 3 us: enough to meet a peer that runs, too little to matter to one that needs this core.
  static constexpr int kSpins = 64;

  static void pause();
  /// Sleeps unless it holds another value; until wake_all(). False when none came for `limit`.
  static bool sleep_while_equal(Counter& counter, uint32_t value, std::chrono::nanoseconds limit);
  static void wake_all(Counter& counter);
};

/// The protocol in a SharedMemory, with the slots for the data.
class ShmChannel : public ShmProtocol<SystemSync> {
 public:
  /// Bytes of shared memory for a group: the slots get smaller as ranks get more, so that it stays below
  /// 17 MiB.
  static size_t memory_bytes(int ranks);
  static constexpr int kMostRanks = 64;

  ShmChannel(SharedMemory memory, int rank, int ranks);
  ~ShmChannel();

  /// The processes of all ranks; from now on the end of one is noticed while waiting for it. To be called
  /// while all of them are known to live.
  void watch(const std::vector<int64_t>& pids);
  /// Whether this system can watch processes.
  static bool can_watch();

  /// Bytes of a slot and of its `ranks` equal parts.
  size_t slot_bytes() const { return part_bytes_ * static_cast<size_t>(ranks()); }
  size_t part_bytes() const { return part_bytes_; }
  /// Where rank `owner` writes in a round.
  std::byte* slot(int owner, uint32_t round) const;

 private:
  static size_t part_bytes_of(int ranks);

  SharedMemory memory_;
  size_t part_bytes_;
  std::vector<int> process_fds_;  // by rank; -1: a thread of this process
};

}  // namespace deepspeed::comm
