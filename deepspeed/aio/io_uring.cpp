#include <liburing.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <thread>

#include "deepspeed/aio/backend.h"
#include "deepspeed/aio/plan.h"
#include "deepspeed/base/error.h"

namespace deepspeed::aio {
namespace {

// Writes into the page cache of less than a page. io_uring hands such a write to a kernel thread, which takes
// its turn with the direct writes of the same file and needs 20 times as long as the copy itself.
bool is_edge(const Transfer& t) { return t.direction == Direction::kWrite && t.bytes < kPage; }

int64_t write_now(const Transfer& t) {
  const ssize_t moved = ::pwrite(t.fd, t.memory, t.bytes, t.offset);
  return moved < 0 ? -errno : moved;
}

class IoUring final : public Backend {
 public:
  explicit IoUring(int depth) {
    // Completions are worked off only when this thread asks for them, which saves it interruptions
    // (Linux 6.1).
    constexpr unsigned kOneThread =
        IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_SUBMIT_ALL;
    int result = ::io_uring_queue_init(static_cast<unsigned>(depth), &ring_, kOneThread);
    if (result == -EINVAL) result = ::io_uring_queue_init(static_cast<unsigned>(depth), &ring_, 0);
    if (result < 0) base::fail("io_uring cannot be used here: {}", std::strerror(-result));
    try {
      check_operations();
      check_enter();
    } catch (...) {
      ::io_uring_queue_exit(&ring_);
      throw;
    }
  }
  ~IoUring() override { ::io_uring_queue_exit(&ring_); }

  size_t exchange(std::span<const Transfer> start, size_t least, std::span<Completion> done) override {
    size_t count = 0;
    for (const Transfer& transfer : start) {
      if (is_edge(transfer))
        done[count++] = {transfer.slot, write_now(transfer)};
      else
        prepare(transfer);
    }
    least -= std::min(least, count);
    while (::io_uring_sq_ready(&ring_) > 0 || ::io_uring_cq_ready(&ring_) < least) enter(least);
    return count + collect(done.subspan(count));
  }

 private:
  void prepare(const Transfer& t) {
    io_uring_sqe* entry = ::io_uring_get_sqe(&ring_);
    const auto bytes = static_cast<unsigned>(t.bytes);
    const auto offset = static_cast<uint64_t>(t.offset);
    if (t.direction == Direction::kRead)
      ::io_uring_prep_read(entry, t.fd, t.memory, bytes, offset);
    else
      ::io_uring_prep_write(entry, t.fd, t.memory, bytes, offset);
    ::io_uring_sqe_set_data64(entry, t.slot);
  }

  // One system call that hands over what is prepared and waits for `least` completions.
  void enter(size_t least) {
    const int result = ::io_uring_submit_and_wait(&ring_, static_cast<unsigned>(least));
    if (result >= 0 || result == -EINTR) return;
    // The kernel is short of memory for requests, or wants completions taken first; both pass.
    if (result != -EAGAIN && result != -EBUSY) base::fail("io_uring broke: {}", std::strerror(-result));
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }

  size_t collect(std::span<Completion> done) {
    size_t count = 0;
    unsigned head = 0;
    io_uring_cqe* entry = nullptr;
    io_uring_for_each_cqe(&ring_, head, entry) {
      if (count == done.size()) break;
      done[count++] = {static_cast<uint32_t>(entry->user_data), entry->res};
    }
    ::io_uring_cq_advance(&ring_, static_cast<unsigned>(count));
    return count;
  }

  void check_operations() {
    io_uring_probe* probe = ::io_uring_get_probe_ring(&ring_);
    const bool can = probe != nullptr && ::io_uring_opcode_supported(probe, IORING_OP_READ) != 0 &&
                     ::io_uring_opcode_supported(probe, IORING_OP_WRITE) != 0;
    ::io_uring_free_probe(probe);
    if (!can) base::fail("io_uring cannot be used here: this kernel's rings have no plain reads and writes");
  }

  // A filter of system calls may let a ring be made and then refuse to run it.
  void check_enter() {
    ::io_uring_prep_nop(::io_uring_get_sqe(&ring_));
    const int result = ::io_uring_submit_and_wait(&ring_, 1);
    if (result < 0) base::fail("io_uring cannot be used here: {}", std::strerror(-result));
    ::io_uring_cq_advance(&ring_, ::io_uring_cq_ready(&ring_));
  }

  io_uring ring_{};
};

}  // namespace

std::unique_ptr<Backend> make_io_uring(int depth) { return std::make_unique<IoUring>(depth); }

}  // namespace deepspeed::aio
