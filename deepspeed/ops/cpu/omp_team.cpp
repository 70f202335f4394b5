#include "deepspeed/ops/cpu/omp_team.h"

#include <omp.h>

#include <algorithm>

namespace deepspeed::ops::cpu {

void run_on_team(int threads, int64_t count, void (*call)(void* context, int64_t begin, int64_t end),
                 void* context) {
#pragma omp parallel num_threads(threads)
  {
    // Fewer may have come than were asked for.
    const int64_t team = omp_get_num_threads(), share = (count + team - 1) / team;
    const int64_t begin = share * omp_get_thread_num(), end = std::min(count, begin + share);
    if (begin < end) call(context, begin, end);
  }
}

}  // namespace deepspeed::ops::cpu
