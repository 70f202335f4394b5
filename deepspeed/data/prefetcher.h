// Threads that make micro-batches ahead of their use.
#pragma once

#include <ATen/core/Tensor.h>

#include <condition_variable>
#include <cstdint>
#include <exception>
#include <functional>
#include <map>
#include <mutex>
#include <thread>
#include <vector>

namespace deepspeed::data {

/// Calls `make` for positions p, p+1, ... on `workers` threads, at most two batches a worker ahead of what
/// was taken. What take() returns depends on the position alone, never on the threads' timing.
class Prefetcher {
 public:
  using Batch = std::vector<at::Tensor>;
  /// `make` is called from any thread, by several at once.
  Prefetcher(std::function<Batch(int64_t position)> make, int workers);
  ~Prefetcher();
  Prefetcher(const Prefetcher&) = delete;
  Prefetcher& operator=(const Prefetcher&) = delete;

  /// The batch of this position; waits for it. Another position than the one after the last starts anew
  /// there. Throws what `make` threw for this position. One thread takes.
  Batch take(int64_t position);

 private:
  struct Made {
    Batch batch;
    std::exception_ptr error;
  };
  void work();

  const std::function<Batch(int64_t)> make_;
  const int workers_;
  std::vector<std::thread> threads_;  // started by the first take

  std::mutex mutex_;
  std::condition_variable room_, ready_;
  // Guarded by mutex_:
  std::map<int64_t, Made> made_;
  int64_t taken_ = -1;      // the position that the next take is expected to ask for
  int64_t started_ = 0;     // the position that the next free worker makes
  uint64_t beginning_ = 0;  // counts the fresh starts: what belongs to an earlier one is thrown away
  bool stop_ = false;
};

}  // namespace deepspeed::data
