#include <libaio.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <thread>
#include <vector>

#include "deepspeed/aio/backend.h"
#include "deepspeed/base/error.h"

namespace deepspeed::aio {
namespace {

class Libaio final : public Backend {
 public:
  explicit Libaio(int depth) : blocks_(static_cast<size_t>(depth)), events_(static_cast<size_t>(depth)) {
    const int result = ::io_setup(depth, &context_);
    if (result == -EAGAIN)
      base::fail("libaio cannot be used here: {} more transfers in flight pass /proc/sys/fs/aio-max-nr",
                 depth);
    if (result < 0) base::fail("libaio cannot be used here: {}", std::strerror(-result));
  }
  ~Libaio() override { ::io_destroy(context_); }

  size_t exchange(std::span<const Transfer> start, size_t least, std::span<Completion> done) override {
    done_ = done;
    count_ = 0;
    waiting_.clear();
    for (const Transfer& transfer : start) waiting_.push_back(prepare(transfer));
    submit();
    if (count_ < least) reap(least - count_);
    return count_;
  }

 private:
  iocb* prepare(const Transfer& t) {
    iocb* block = &blocks_[t.slot];
    if (t.direction == Direction::kRead)
      ::io_prep_pread(block, t.fd, t.memory, t.bytes, t.offset);
    else
      ::io_prep_pwrite(block, t.fd, t.memory, t.bytes, t.offset);
    block->data = reinterpret_cast<void*>(static_cast<uintptr_t>(t.slot));
    return block;
  }

  void submit() {
    for (size_t next = 0; next < waiting_.size();) {
      const auto left = static_cast<long>(waiting_.size() - next);
      const int result = ::io_submit(context_, left, waiting_.data() + next);
      if (result > 0)
        next += accept(static_cast<size_t>(result));
      else if (result == -EAGAIN)
        make_room();
      else if (result != -EINTR)
        report({slot_of(waiting_[next++]->data), result});  // the first one is refused, the others untouched
    }
  }

  // The context has taken all it can, or the kernel is short of memory, which passes.
  void make_room() {
    if (in_flight_ > 0)
      reap(1);
    else
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }

  void reap(size_t least) {
    int result = 0;
    do {
      result = ::io_getevents(context_, static_cast<long>(least), static_cast<long>(events_.size()),
                              events_.data(), nullptr);
    } while (result == -EINTR);
    if (result < 0) base::fail("libaio broke: {}", std::strerror(-result));
    in_flight_ -= static_cast<size_t>(result);
    for (const io_event& event : std::span(events_).first(static_cast<size_t>(result)))
      report({slot_of(event.data), static_cast<int64_t>(event.res)});
  }

  size_t accept(size_t count) { return in_flight_ += count, count; }
  void report(Completion completion) { done_[count_++] = completion; }
  static uint32_t slot_of(void* data) { return static_cast<uint32_t>(reinterpret_cast<uintptr_t>(data)); }

  io_context_t context_ = nullptr;
  std::vector<iocb> blocks_;
  std::vector<iocb*> waiting_;
  std::vector<io_event> events_;
  std::span<Completion> done_;
  size_t count_ = 0, in_flight_ = 0;
};

}  // namespace

std::unique_ptr<Backend> make_libaio(int depth) { return std::make_unique<Libaio>(depth); }

}  // namespace deepspeed::aio
