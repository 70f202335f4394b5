#include "deepspeed/comm/shm_channel.h"

#include <linux/futex.h>
#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "deepspeed/base/error.h"

namespace deepspeed::comm {
namespace {

constexpr size_t kLine = 64;
// 64 MB between 2 processes, processor milliseconds of an all_reduce: 26 with 128 KiB, 30 with 256 and more.
constexpr size_t kMostSlotBytes = 128 * 1024;
constexpr size_t kMostBytes = 16 * 1024 * 1024;
static_assert(std::atomic<uint32_t>::is_always_lock_free, "shared by processes");

// glibc 2.36 declares its own for C alone.
int open_process(int64_t pid) {
  return static_cast<int>(syscall(SYS_pidfd_open, static_cast<pid_t>(pid), 0));
}

bool process_ended(int process_fd) {
  pollfd poller{process_fd, POLLIN, 0};
  return poll(&poller, 1, 0) > 0;
}

}  // namespace

void SystemSync::pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

bool SystemSync::sleep_while_equal(Counter& counter, uint32_t value, std::chrono::nanoseconds limit) {
  const timespec relative{limit.count() / 1'000'000'000, limit.count() % 1'000'000'000};
  return syscall(SYS_futex, &counter, FUTEX_WAIT, value, &relative, nullptr, 0) == 0 || errno != ETIMEDOUT;
}

void SystemSync::wake_all(Counter& counter) {
  syscall(SYS_futex, &counter, FUTEX_WAKE, INT32_MAX, nullptr, nullptr, 0);
}

size_t ShmChannel::part_bytes_of(int ranks) {
  const auto n = static_cast<size_t>(ranks);
  const size_t slot = std::min(kMostSlotBytes, kMostBytes / (n * kSlots));
  return slot / n / kLine * kLine;
}

size_t ShmChannel::memory_bytes(int ranks) {
  const auto n = static_cast<size_t>(ranks);
  return counter_bytes(ranks) + kSlots * n * n * part_bytes_of(ranks);
}

ShmChannel::ShmChannel(SharedMemory memory, int rank, int ranks)
    : ShmProtocol(memory.data(), rank, ranks), memory_(std::move(memory)), part_bytes_(part_bytes_of(ranks)) {
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
  process_ended_ = [this](int rank) { return process_fds_[rank] >= 0 && process_ended(process_fds_[rank]); };
}

std::byte* ShmChannel::slot(int owner, uint32_t round) const {
  const size_t index = static_cast<size_t>(owner) * kSlots + round % kSlots;
  return memory_.data() + counter_bytes(ranks()) + index * slot_bytes();
}

}  // namespace deepspeed::comm
