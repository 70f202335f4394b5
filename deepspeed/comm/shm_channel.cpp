#include "deepspeed/comm/shm_channel.h"

#include <linux/futex.h>
#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "deepspeed/base/error.h"

namespace deepspeed::comm {
namespace {

using Clock = std::chrono::steady_clock;

constexpr size_t kLine = 64;
// 64 MB between 2 processes, processor milliseconds of an all_reduce: 26 with 128 KiB, 30 with 256 and more.
constexpr size_t kMostSlotBytes = 128 * 1024;
constexpr size_t kMostBytes = 16 * 1024 * 1024;
// The end of a process makes no event: it is looked for as often as this.
constexpr auto kLookAround = std::chrono::milliseconds(50);
// About 3 us: enough to meet a peer that runs, too little to matter to one that needs this core.
constexpr int kSpins = 64;

static_assert(std::atomic<uint32_t>::is_always_lock_free, "shared by processes");

void pause_processor() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

// glibc 2.36 declares its own for C alone.
int open_process(int64_t pid) {
  return static_cast<int>(syscall(SYS_pidfd_open, static_cast<pid_t>(pid), 0));
}

bool process_ended(int process_fd) {
  pollfd poller{process_fd, POLLIN, 0};
  return poll(&poller, 1, 0) > 0;
}

}  // namespace

size_t ShmChannel::part_bytes_of(int ranks) {
  const auto n = static_cast<size_t>(ranks);
  const size_t slot = std::min(kMostSlotBytes, kMostBytes / (n * kSlots));
  return slot / n / kLine * kLine;
}

size_t ShmChannel::memory_bytes(int ranks) {
  const auto n = static_cast<size_t>(ranks);
  return sizeof(Header) + n * sizeof(Line) + kSlots * n * n * part_bytes_of(ranks);
}

ShmChannel::ShmChannel(SharedMemory memory, int rank, int ranks)
    : memory_(std::move(memory)), rank_(rank), ranks_(ranks), part_bytes_(part_bytes_of(ranks)) {
  DS_CHECK(memory_.size() == memory_bytes(ranks), "shared memory of {} bytes is not for {} ranks",
           memory_.size(), ranks);
}

ShmChannel::~ShmChannel() {
  for (const int fd : process_fds_)
    if (fd >= 0) ::close(fd);
}

bool ShmChannel::can_watch() {
  const int fd = open_process(getpid());
  if (fd < 0) return false;
  ::close(fd);
  return true;
}

void ShmChannel::watch(const std::vector<int64_t>& pids) {
  for (const int64_t pid : pids) process_fds_.push_back(pid == getpid() ? -1 : open_process(pid));
}

std::byte* ShmChannel::slot(int owner, uint32_t round) const {
  const size_t index = static_cast<size_t>(owner) * kSlots + round % kSlots;
  return memory_.data() + sizeof(Header) + static_cast<size_t>(ranks_) * sizeof(Line) + index * slot_bytes();
}

void ShmChannel::announce(const ShmCall& call, uint32_t round) { line(rank_).calls[round % kSlots] = call; }

void ShmChannel::check_agreement(uint32_t round) const {
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

bool ShmChannel::reached(int rank, Stage stage, uint32_t rounds) const {
  // Counts wrap around.
  return static_cast<int32_t>(line(rank).finished[stage].load() - rounds) >= 0;
}

int ShmChannel::first_behind(int from, Stage stage, uint32_t rounds) const {
  while (from < ranks_ && reached(from, stage, rounds)) ++from;
  return from;
}

void ShmChannel::announce_event() {
  ++header().events;
  if (header().waiting.load() > 0)
    syscall(SYS_futex, &header().events, FUTEX_WAKE, INT32_MAX, nullptr, nullptr, 0);
}

void ShmChannel::advance(Stage first, Stage last, uint32_t rounds) {
  for (int stage = first; stage <= last; ++stage) line(rank_).finished[stage] = rounds;
  announce_event();
}

void ShmChannel::close() {
  line(rank_).closed = 1;
  announce_event();
}

bool ShmChannel::ended(int rank, bool look_at_process) const {
  if (line(rank).closed.load() != 0) return true;
  return look_at_process && !process_fds_.empty() && process_fds_[rank] >= 0 &&
         process_ended(process_fds_[rank]);
}

bool ShmChannel::sleep_until_event(uint32_t seen, Clock::time_point deadline) {
  const auto left = std::min<Clock::duration>(deadline - Clock::now(), kLookAround);
  const auto nanoseconds = std::chrono::duration_cast<std::chrono::nanoseconds>(left).count();
  if (nanoseconds <= 0) return false;
  const timespec limit{0, nanoseconds};
  ++header().waiting;
  const bool uneventful =
      syscall(SYS_futex, &header().events, FUTEX_WAIT, seen, &limit, nullptr, 0) != 0 && errno == ETIMEDOUT;
  --header().waiting;
  return !uneventful;
}

void ShmChannel::await(Stage stage, uint32_t rounds, Clock::time_point deadline) {
  int behind = first_behind(0, stage, rounds);
  for (int spin = 0; behind < ranks_ && spin < kSpins; ++spin) {
    pause_processor();
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

}  // namespace deepspeed::comm
