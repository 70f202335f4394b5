#include "deepspeed/ops/parallel.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <exception>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>

#include "deepspeed/ops/cpu/omp_team.h"

namespace deepspeed::ops {

void parallel_ranges(int64_t count, int64_t grain, c10::function_ref<void(int64_t begin, int64_t end)> body) {
  if (count <= 0) return;
  const int64_t parts = (count + grain - 1) / grain;
  const int64_t threads = at::in_parallel_region() ? 1 : std::min<int64_t>(at::get_num_threads(), parts);
  if (threads <= 1) return body(0, count);
  struct Team {
    decltype(body) run;
    std::mutex mutex{};
    std::exception_ptr failed{};
  } team{body};
  cpu::run_on_team(
      static_cast<int>(threads), count,
      [](void* context, int64_t begin, int64_t end) {
        auto& work = *static_cast<Team*>(context);
        try {
          work.run(begin, end);
        } catch (...) {
          const std::lock_guard lock(work.mutex);
          if (!work.failed) work.failed = std::current_exception();
        }
      },
      &team);
  if (team.failed) std::rethrow_exception(team.failed);
}

namespace {

// What is left of a thread's share. It takes steps from the front, others from the back.
class alignas(64) Share {
 public:
  void set(int64_t begin, int64_t end) { begin_ = begin, end_ = end; }
  std::optional<std::pair<int64_t, int64_t>> take(int64_t step, bool from_front) {
    const std::lock_guard lock(mutex_);
    if (begin_ >= end_) return std::nullopt;
    const int64_t count = std::min(step, end_ - begin_);
    if (from_front) return std::pair(std::exchange(begin_, begin_ + count), begin_);
    return std::pair(end_ - count, std::exchange(end_, end_ - count));
  }

 private:
  std::mutex mutex_;
  int64_t begin_ = 0, end_ = 0;
};

}  // namespace

void parallel_steps(int64_t count, int64_t grain, int64_t step,
                    c10::function_ref<void(int64_t thread, int64_t begin, int64_t end)> body) {
  if (count <= 0) return;
  const int64_t parts = (count + grain - 1) / grain;
  const int64_t threads = at::in_parallel_region() ? 1 : std::min<int64_t>(at::get_num_threads(), parts);
  if (threads <= 1) return body(0, 0, count);
  const int64_t share = (count + threads - 1) / threads;
  const auto shares = std::make_unique<Share[]>(static_cast<size_t>(threads));
  for (int64_t t = 0; t < threads; ++t)
    shares[static_cast<size_t>(t)].set(std::min(count, t * share), std::min(count, (t + 1) * share));
  parallel_ranges(threads, 1, [&](int64_t first, int64_t last) {
    // Fewer threads may have come: the first one's shares are taken by whoever is done.
    for (int64_t turn = 0; turn < threads; ++turn) {
      const int64_t t = (first + turn) % threads;
      const bool own = t >= first && t < last;
      while (const auto now = shares[static_cast<size_t>(t)].take(step, own))
        body(first, now->first, now->second);
    }
  });
}

}  // namespace deepspeed::ops
