#include "deepspeed/ops/parallel.h"

#include <ATen/Parallel.h>

#include <algorithm>

#include "deepspeed/ops/cpu/omp_team.h"

namespace deepspeed::ops {

void parallel_ranges(int64_t count, int64_t grain, c10::function_ref<void(int64_t begin, int64_t end)> body) {
  if (count <= 0) return;
  const int64_t parts = (count + grain - 1) / grain;
  const int64_t threads = at::in_parallel_region() ? 1 : std::min<int64_t>(at::get_num_threads(), parts);
  if (threads <= 1) return body(0, count);
  using Body = decltype(body);
  cpu::run_on_team(
      static_cast<int>(threads), count,
      [](void* context, int64_t begin, int64_t end) { (*static_cast<Body*>(context))(begin, end); }, &body);
}

}  // namespace deepspeed::ops
