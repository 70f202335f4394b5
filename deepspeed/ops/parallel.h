// Loops on the compute threads. at::parallel_for runs its body on the calling thread alone in sources that
// are not compiled with -fopenmp, and the precompiled header is not.
#pragma once

#include <c10/util/FunctionRef.h>

#include <cstdint>

namespace deepspeed::ops {

/// body(begin, end) for ranges that together are [0, count), on one thread for every `grain` begun but at
/// most at::get_num_threads(), of libtorch's own OpenMP team; on the calling thread alone inside such a loop.
/// What a body throws is thrown here once all have ended. Threads have no autograd state of the
/// caller: they may use raw pointers, and tensors that want no gradient.
void parallel_ranges(int64_t count, int64_t grain, c10::function_ref<void(int64_t begin, int64_t end)> body);

/// The same for work whose parts take long: each thread has a share of [0, count) and takes it in steps of
/// `step`; one that is done takes steps from the ends of the others'. On a machine that is not ours alone
/// threads do not get on equally fast. `thread`: in [0, at::get_num_threads()), one call at a time for each.
void parallel_steps(int64_t count, int64_t grain, int64_t step,
                    c10::function_ref<void(int64_t thread, int64_t begin, int64_t end)> body);

}  // namespace deepspeed::ops
