// Runs the protocol of ranks in shared memory under every order of their steps: nobody sleeps for ever,
// nobody reads a slot while its owner writes to it, and what is read is what was given in that round.
// Sleeping has no time limit here, so that a lost wake-up is a failure and not a delay of 50 ms.
#pragma once

#include <gtest/gtest.h>

#include <utility>
#include <vector>

#include "deepspeed/comm/shm_protocol.h"
#include "tests/comm/interleavings.h"

namespace deepspeed::comm::searched {

using tests::Interleavings;

inline Interleavings orders;

enum class Fault { kNone, kWakesNobody, kSleepsWhateverTheCount };

// Each access to a counter is a step.
template <Fault kFault>
struct SearchedSync {
  struct Counter {
    uint32_t value;

    uint32_t load() const {
      return orders.step([this] { return value; });
    }
    void operator=(uint32_t now) {
      orders.step([this, now] { return value = now; });
    }
    void operator++() {
      orders.step([this] { return ++value; });
    }
    void operator--() {
      orders.step([this] { return --value; });
    }
  };
  static constexpr int kSpins = 1;

  static void pause() {}
  static bool sleep_while_equal(Counter& counter, uint32_t value, std::chrono::nanoseconds) {
    orders.step([&]() -> uint32_t {
      if (counter.value == value || kFault == Fault::kSleepsWhateverTheCount) orders.sleep(&counter);
      return 1;
    });
    return true;
  }
  static void wake_all(Counter& counter) {
    orders.step([&]() -> uint32_t {
      if (kFault != Fault::kWakesNobody) orders.wake(&counter);
      return 0;
    });
  }
};

// What ranks write for each other. An access has a beginning and an end, between which others take steps.
struct Cell {
  uint32_t readers, writers, value;

  void write(uint32_t now) {
    orders.step([this] {
      if (readers + writers > 0) orders.fail("written while another rank is at it");
      return ++writers;
    });
    orders.step([this, now] {
      --writers;
      return value = now;
    });
  }
  uint32_t read() {
    orders.step([this] {
      if (writers > 0) orders.fail("read while its owner writes");
      return ++readers;
    });
    return orders.step([this] {
      --readers;
      return value;
    });
  }
  void expect(uint32_t expected) {
    if (read() != expected) orders.fail("what was read is of another round");
  }
};

struct Setting {
  int ranks = 2;
  uint32_t slots = 4;  // fewer than the protocol believes: a fault
  uint32_t first_round = 0;
  std::vector<std::pair<uint32_t, bool>> calls;  // rounds, and whether they collect
  bool closer = false;                           // a thread closes rank 0 at any time
};

template <Fault kFault>
class SearchedChannel : public ShmProtocol<SearchedSync<kFault>> {
 public:
  using Protocol = ShmProtocol<SearchedSync<kFault>>;
  using Stage = typename Protocol::Stage;

  static size_t bytes(const Setting& s) {
    const auto n = static_cast<size_t>(s.ranks);
    return Protocol::counter_bytes(s.ranks) + n * s.slots * (n + 1) * sizeof(Cell);
  }
  SearchedChannel(std::byte* memory, int rank, const Setting& setting)
      : Protocol(memory, rank, setting.ranks),
        cells_(reinterpret_cast<Cell*>(memory + Protocol::counter_bytes(setting.ranks))),
        slots_(setting.slots) {
    this->take_rounds(setting.first_round);
  }

  // These return alike, however often they slept.
  void await(Stage stage, uint32_t rounds, std::chrono::steady_clock::time_point deadline) {
    Protocol::await(stage, rounds, deadline);
    orders.forget();
  }
  void advance(Stage first, Stage last, uint32_t rounds) {
    Protocol::advance(first, last, rounds);
    orders.forget();
  }
  void announce(const ShmCall& call, uint32_t round) {
    cell(this->rank(), round, this->ranks()).write(static_cast<uint32_t>(call.bytes));
  }
  void check_agreement(uint32_t round) {
    for (int r = 0; r < this->ranks(); ++r)
      if (r != this->rank()) cell(r, round, this->ranks()).expect(call_bytes);
  }
  Cell& cell(int owner, uint32_t round, int part) const {
    return cells_[(static_cast<uint32_t>(owner) * slots_ + round % slots_) *
                      static_cast<uint32_t>(this->ranks() + 1) +
                  static_cast<uint32_t>(part)];
  }

  uint32_t call_bytes = 0;

 private:
  Cell* cells_;
  uint32_t slots_;
};

constexpr uint32_t kCombinedMark = 1u << 31;

// The accesses of shm_rounds.cpp: part q of a rank's slot is what it gives to q, its own what it has
// combined.
template <class Channel>
ShmRounds accesses(Channel& channel, uint32_t count, bool collects) {
  ShmRounds rounds;
  rounds.count = count;
  rounds.collects = collects;
  rounds.call.bytes = channel.call_bytes = 100 + count;
  const int me = channel.rank();
  const auto others = [&channel, me](auto visit) {
    for (int r = 0; r < channel.ranks(); ++r)
      if (r != me) visit(r);
    orders.forget();
  };
  rounds.give = [&channel, others, me](uint32_t, uint32_t round) {
    others([&](int r) { channel.cell(me, round, r).write(round); });
  };
  rounds.combine = [&channel, others, me, collects](uint32_t, uint32_t round) {
    others([&](int r) { channel.cell(r, round, me).expect(round); });
    if (collects) channel.cell(me, round, me).write(round | kCombinedMark);
  };
  if (collects)
    rounds.collect = [&channel, others](uint32_t, uint32_t round) {
      others([&](int r) { channel.cell(r, round, r).expect(round | kCombinedMark); });
    };
  return rounds;
}

// What ShmWorker does with a rank's operations.
template <Fault kFault>
void be_rank(std::byte* memory, int rank, const Setting& setting) {
  SearchedChannel<kFault> channel(memory, rank, setting);
  bool failed = false;
  try {
    for (const auto& [count, collects] : setting.calls)
      run_rounds(channel, accesses(channel, count, collects), std::chrono::steady_clock::time_point::max());
  } catch (const base::Error& error) {
    if (!setting.closer) orders.fail(error.what());
    failed = true;
  }
  if (failed) channel.close();
}

template <Fault kFault = Fault::kNone>
Interleavings::Result search(const Setting& setting) {
  std::vector<std::byte> memory(SearchedChannel<kFault>::bytes(setting) + 64);
  auto* const base =
      reinterpret_cast<std::byte*>((reinterpret_cast<uintptr_t>(memory.data()) + 63) / 64 * 64);
  using Protocol = ShmProtocol<SearchedSync<kFault>>;
  for (int r = 0; r < setting.ranks; ++r)
    Protocol(base, r, setting.ranks).advance(Protocol::kGiven, Protocol::kCollected, setting.first_round);
  const auto result =
      orders.search(memory, setting.ranks + (setting.closer ? 1 : 0), [base, &setting](int thread) {
        if (thread < setting.ranks) return be_rank<kFault>(base, thread, setting);
        Protocol(base, 0, setting.ranks).close();
      });
  ::testing::Test::RecordProperty("states", static_cast<int64_t>(result.states));
  return result;
}

}  // namespace deepspeed::comm::searched
