#include "deepspeed/ops/parallel.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <exception>
#include <mutex>

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

}  // namespace deepspeed::ops
