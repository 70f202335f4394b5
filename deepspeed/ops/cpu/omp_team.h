// The one source that knows OpenMP. Torch-free.
#pragma once

#include <cstdint>

namespace deepspeed::ops::cpu {

/// call(context, begin, end) on each of up to `threads` threads, for ranges that together are [0, count).
void run_on_team(int threads, int64_t count, void (*call)(void* context, int64_t begin, int64_t end),
                 void* context);

}  // namespace deepspeed::ops::cpu
