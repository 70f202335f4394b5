// How the ranks of one host count rounds and wait for each other in shared memory. Internal to comm.
#pragma once

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <utility>

#include "deepspeed/base/error.h"

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
///
/// Sync has the counters and the futex: those of the system (shm_channel.h), or in tests/comm those of a
/// search through all orders in which ranks can take their steps. All steps on counters are sequentially
/// consistent, so such orders are all there is to search.
template <class Sync>
class ShmProtocol {
 public:
  using Clock = std::chrono::steady_clock;
  using Counter = typename Sync::Counter;
  enum Stage { kGiven, kCombined, kCollected };
  static constexpr uint32_t kSlots = 4;

  /// Bytes of shared memory for the counters, all zero at first.
  static size_t counter_bytes(int ranks) {
    return sizeof(Header) + static_cast<size_t>(ranks) * sizeof(Line);
  }

  ShmProtocol(std::byte* memory, int rank, int ranks) : memory_(memory), rank_(rank), ranks_(ranks) {}
  ShmProtocol(const ShmProtocol&) = delete;

  int rank() const { return rank_; }
  int ranks() const { return ranks_; }

  /// Rounds are numbered through, over all operations.
  uint32_t next_round() const { return next_round_; }
  void take_rounds(uint32_t count) { next_round_ += count; }

  /// Says what this rank is about to give in `round`.
  void announce(const ShmCall& call, uint32_t round) { line(rank_).calls[round % kSlots] = call; }
  /// Throws base::Error when another rank is in another call in that round. After await(kGiven, round + 1).
  void check_agreement(uint32_t round) const;

  /// This rank has finished the stages `first` ... `last` of all rounds below `rounds`.
  void advance(Stage first, Stage last, uint32_t rounds) {
    for (int stage = first; stage <= last; ++stage) line(rank_).finished[stage] = rounds;
    announce_event();
  }
  /// Returns when every rank has finished that stage of all rounds below `rounds`. Throws base::Error when a
  /// rank that has not is gone ("closed by peer"), the deadline has passed ("timed out"), or close() was
  /// called here.
  void await(Stage stage, uint32_t rounds, Clock::time_point deadline);

  /// Every rank that waits for this one fails now, and so does this one's await(). From any thread.
  void close() {
    line(rank_).closed = 1;
    announce_event();
  }

 protected:
  /// Whether the process of a rank has ended; asked when nothing has happened for a while.
  std::function<bool(int rank)> process_ended_ = [](int) { return false; };

 private:
  struct alignas(64) Line {
    Counter finished[3];
    Counter closed;
    ShmCall calls[kSlots];
  };
  struct Header {
    alignas(64) Counter events;   // the futex: counts everything that others may wait for
    alignas(64) Counter waiting;  // ranks that may sleep
  };
  // The end of a process makes no event: it is looked for as often as this.
  static constexpr std::chrono::milliseconds kLookAround{50};

  Header& header() const { return *reinterpret_cast<Header*>(memory_); }
  Line& line(int rank) const { return reinterpret_cast<Line*>(memory_ + sizeof(Header))[rank]; }

  bool reached(int rank, Stage stage, uint32_t rounds) const {
    // Counts wrap around.
    return static_cast<int32_t>(line(rank).finished[stage].load() - rounds) >= 0;
  }
  /// The first rank at or after `from` that has not reached it; ranks() if there is none.
  int first_behind(int from, Stage stage, uint32_t rounds) const {
    while (from < ranks_ && reached(from, stage, rounds)) ++from;
    return from;
  }
  bool ended(int rank, bool look_at_process) const {
    return line(rank).closed.load() != 0 || (look_at_process && process_ended_(rank));
  }
  void announce_event() {
    ++header().events;
    if (header().waiting.load() > 0) Sync::wake_all(header().events);
  }
  /// False when none came for a while.
  bool sleep_until_event(uint32_t seen, Clock::time_point deadline) {
    const auto left = std::min<Clock::duration>(deadline - Clock::now(), kLookAround);
    if (left.count() <= 0) return false;
    ++header().waiting;
    const bool eventful = Sync::sleep_while_equal(header().events, seen, left);
    --header().waiting;
    return eventful;
  }

  std::byte* memory_;
  int rank_;
  int ranks_;
  uint32_t next_round_ = 0;
};

template <class Sync>
void ShmProtocol<Sync>::check_agreement(uint32_t round) const {
  const ShmCall& mine = line(rank_).calls[round % kSlots];
  for (int r = 0; r < ranks_; ++r) {
    const ShmCall theirs = line(r).calls[round % kSlots];
    DS_CHECK(theirs == mine,
             "rank {} is in {} of {} bytes (type {}, variant {}), this one in {} of {} bytes (type {}, "
             "variant {}): all ranks must make the same calls in the same order",
             r, theirs.name.data(), theirs.bytes, theirs.dtype, theirs.variant, mine.name.data(), mine.bytes,
             mine.dtype, mine.variant);
  }
}

template <class Sync>
void ShmProtocol<Sync>::await(Stage stage, uint32_t rounds, Clock::time_point deadline) {
  int behind = first_behind(0, stage, rounds);
  for (int spin = 0; behind < ranks_ && spin < Sync::kSpins; ++spin) {
    Sync::pause();
    behind = first_behind(behind, stage, rounds);
  }
  for (bool eventful = true;;) {
    const uint32_t seen = header().events.load();
    behind = first_behind(behind, stage, rounds);
    if (behind == ranks_) return;
    DS_CHECK(line(rank_).closed.load() == 0, "the group was closed");
    for (int r = behind; r < ranks_; ++r) {
      // What a rank has finished before it ended is valid.
      if (ended(r, !eventful) && !reached(r, stage, rounds))
        base::fail("shared memory closed by peer: rank {} of the group", r);
    }
    DS_CHECK(Clock::now() < deadline, "timed out waiting for rank {} of the group", behind);
    eventful = sleep_until_event(seen, deadline);
  }
}

/// What one rank does in each round of one collective. A step that is null has nothing to do on this rank.
struct ShmRounds {
  using Step = std::function<void(uint32_t index, uint32_t round)>;  // index: 0 ... count - 1

  ShmCall call;
  uint32_t count = 0;     // the same on all ranks
  bool collects = false;  // the same on all ranks: whether there is a third stage
  Step give;              // write to this rank's slot
  Step combine;           // read the others' slots and, where the rounds collect, write to this rank's
  Step collect;           // read what the others wrote while combining
  std::function<void()> finish;
};

/// Runs them to their end; all ranks must. Throws what await and check_agreement throw.
template <class Channel>
void run_rounds(Channel& channel, const ShmRounds& rounds, std::chrono::steady_clock::time_point deadline) {
  const uint32_t base = channel.next_round();
  channel.take_rounds(rounds.count);
  // A round is combined one later and collected two later, so that a rank seldom finds its peers behind.
  for (uint32_t i = 0; i < rounds.count + 2; ++i) {
    if (i < rounds.count) {
      channel.await(Channel::kCollected, base + i + 1 - Channel::kSlots, deadline);
      channel.announce(rounds.call, base + i);
      if (rounds.give) rounds.give(i, base + i);
      channel.advance(Channel::kGiven, Channel::kGiven, base + i + 1);
    }
    if (i >= 1 && i <= rounds.count) {
      channel.await(Channel::kGiven, base + i, deadline);
      channel.check_agreement(base + i - 1);
      if (rounds.combine) rounds.combine(i - 1, base + i - 1);
      channel.advance(Channel::kCombined, rounds.collects ? Channel::kCombined : Channel::kCollected,
                      base + i);
    }
    if (i >= 2 && rounds.collects) {
      channel.await(Channel::kCombined, base + i - 1, deadline);
      if (rounds.collect) rounds.collect(i - 2, base + i - 2);
      channel.advance(Channel::kCollected, Channel::kCollected, base + i - 1);
    }
  }
  if (rounds.finish) rounds.finish();
}

}  // namespace deepspeed::comm
