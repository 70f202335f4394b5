#include "deepspeed/ops/cpu/omp_team.h"

#include <algorithm>

// What compilers make of "#pragma omp parallel" for GNU's OpenMP library, which libtorch brings: said by
// hand, every compiler calls that library, where clang would bring a second one with threads of its own.
extern "C" {
void GOMP_parallel(void (*body)(void*), void* data, unsigned threads, unsigned flags);
int omp_get_num_threads();
int omp_get_thread_num();
}

namespace deepspeed::ops::cpu {
namespace {

struct Work {
  int64_t count;
  void (*call)(void* context, int64_t begin, int64_t end);
  void* context;
};

// What each thread of the team runs.
void run_share(void* data) {
  const auto& work = *static_cast<const Work*>(data);
  // Fewer may have come than were asked for.
  const int64_t team = omp_get_num_threads(), share = (work.count + team - 1) / team;
  const int64_t begin = share * omp_get_thread_num(), end = std::min(work.count, begin + share);
  if (begin < end) work.call(work.context, begin, end);
}

}  // namespace

void run_on_team(int threads, int64_t count, void (*call)(void* context, int64_t begin, int64_t end),
                 void* context) {
  Work work{count, call, context};
  GOMP_parallel(run_share, &work, static_cast<unsigned>(threads), 0);
}

}  // namespace deepspeed::ops::cpu
