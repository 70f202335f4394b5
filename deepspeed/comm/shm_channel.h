// What the ranks of one host pass through shared memory, and how they wait for each other. Internal to comm.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "deepspeed/comm/shm_memory.h"

namespace deepspeed::comm {

/// What every rank must agree on before one reads what another has written.
struct ShmCall {
  std::array<char, 16> name{};
  int64_t bytes = 0;
  int32_t dtype = 0;
  int32_t variant = 0;  // reduce operation or root

  bool operator==(const ShmCall&) const = default;
};

/// Data go in rounds. In a round each rank writes into its own slot (stage kGiven), then reads the others'
/// and may write to its own again (kCombined), then reads again (kCollected); kSlots rounds may be under way.
/// Every rank counts its rounds in shared memory and waits for the others' counts: some microseconds on the
/// processor, then in a futex. Used by one thread a rank, but for close().
class ShmChannel {
 public:
  enum Stage { kGiven, kCombined, kCollected };
  static constexpr uint32_t kSlots = 4;

  /// Bytes of shared memory for a group: the slots get smaller as ranks get more, so that it stays below
  /// 17 MiB.
  static size_t memory_bytes(int ranks);
  static constexpr int kMostRanks = 64;

  ShmChannel(SharedMemory memory, int rank, int ranks);
  ~ShmChannel();
  ShmChannel(const ShmChannel&) = delete;

  /// The processes of all ranks; from now on the end of one is noticed while waiting for it. To be called
  /// while all of them are known to live.
  void watch(const std::vector<int64_t>& pids);
  /// Whether this system can watch processes.
  static bool can_watch();

  int rank() const { return rank_; }
  int ranks() const { return ranks_; }
  /// Bytes of a slot and of its `ranks` equal parts.
  size_t slot_bytes() const { return part_bytes_ * static_cast<size_t>(ranks_); }
  size_t part_bytes() const { return part_bytes_; }
  /// Where rank `owner` writes in a round.
  std::byte* slot(int owner, uint32_t round) const;

  /// Rounds are numbered through, over all operations.
  uint32_t next_round() const { return next_round_; }
  void take_rounds(uint32_t count) { next_round_ += count; }

  /// Says what this rank is about to give in `round`.
  void announce(const ShmCall& call, uint32_t round);
  /// Throws base::Error when another rank is in another call in that round. After await(kGiven, round + 1).
  void check_agreement(uint32_t round) const;

  /// This rank has finished the stages `first` ... `last` of all rounds below `rounds`.
  void advance(Stage first, Stage last, uint32_t rounds);
  /// Returns when every rank has finished that stage of all rounds below `rounds`. Throws base::Error when a
  /// rank that has not is gone ("closed by peer"), the deadline has passed ("timed out"), or close() was
  /// called here.
  void await(Stage stage, uint32_t rounds, std::chrono::steady_clock::time_point deadline);

  /// Every rank that waits for this one fails now, and so does this one's await(). From any thread.
  void close();

 private:
  struct alignas(64) Line {
    std::atomic<uint32_t> finished[3];
    std::atomic<uint32_t> closed;
    ShmCall calls[kSlots];
  };
  struct Header {
    alignas(64) std::atomic<uint32_t> events;   // the futex: counts everything that others may wait for
    alignas(64) std::atomic<uint32_t> waiting;  // ranks that may sleep
  };

  static size_t part_bytes_of(int ranks);
  Header& header() const { return *reinterpret_cast<Header*>(memory_.data()); }
  Line& line(int rank) const { return reinterpret_cast<Line*>(memory_.data() + sizeof(Header))[rank]; }
  bool reached(int rank, Stage stage, uint32_t rounds) const;
  /// The first rank at or after `from` that has not reached it; ranks() if there is none.
  int first_behind(int from, Stage stage, uint32_t rounds) const;
  bool ended(int rank, bool look_at_process) const;
  void announce_event();
  /// False when none came for a while.
  bool sleep_until_event(uint32_t seen, std::chrono::steady_clock::time_point deadline);

  SharedMemory memory_;
  int rank_;
  int ranks_;
  size_t part_bytes_;
  uint32_t next_round_ = 0;
  std::vector<int> process_fds_;  // by rank; -1: a thread of this process
};

}  // namespace deepspeed::comm
