#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>

#include "deepspeed/aio/backend.h"
#include "deepspeed/base/error.h"

namespace deepspeed::aio {
namespace {

// More waiting threads than this keep no disk busier.
constexpr int kMostThreads = 32;

int64_t carry_out(const Transfer& t) {
  const ssize_t moved = t.direction == Direction::kRead ? ::pread(t.fd, t.memory, t.bytes, t.offset)
                                                        : ::pwrite(t.fd, t.memory, t.bytes, t.offset);
  return moved < 0 ? -errno : moved;
}

class ThreadPool final : public Backend {
 public:
  explicit ThreadPool(int depth) {
    try {
      for (int i = 0; i < std::min(depth, kMostThreads); ++i) threads_.emplace_back([this] { work(); });
    } catch (const std::system_error& error) {
      if (threads_.empty()) base::fail("no thread can be started for file I/O: {}", error.what());
    }
  }
  ~ThreadPool() override {
    {
      const std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    wanted_.notify_all();
    for (std::thread& thread : threads_) thread.join();
  }

  size_t exchange(std::span<const Transfer> start, size_t least, std::span<Completion> done) override {
    std::unique_lock lock(mutex_);
    for (const Transfer& transfer : start) {
      queue_.push_back(transfer);
      wanted_.notify_one();
    }
    least_ = least;
    finished_.wait(lock, [&] { return done_.size() >= least; });
    const size_t count = std::min(done_.size(), done.size());
    std::copy_n(done_.begin(), count, done.begin());
    done_.erase(done_.begin(), done_.begin() + static_cast<std::ptrdiff_t>(count));
    return count;
  }

 private:
  void work() {
    std::unique_lock lock(mutex_);
    while (true) {
      wanted_.wait(lock, [&] { return stopping_ || !queue_.empty(); });
      if (queue_.empty()) return;
      const Transfer transfer = queue_.front();
      queue_.pop_front();
      lock.unlock();
      const int64_t result = carry_out(transfer);
      lock.lock();
      done_.push_back({transfer.slot, result});
      if (done_.size() >= least_) finished_.notify_one();
    }
  }

  std::mutex mutex_;
  std::condition_variable wanted_, finished_;
  std::deque<Transfer> queue_;
  std::vector<Completion> done_;
  size_t least_ = 0;
  bool stopping_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace

std::unique_ptr<Backend> make_thread_pool(int depth) { return std::make_unique<ThreadPool>(depth); }

}  // namespace deepspeed::aio
