// The compute threads that libtorch keeps per process.
#pragma once

namespace deepspeed::accel {

/// Sets the number of threads one op may use. OMP_NUM_THREADS wins when the user set it; otherwise the
/// machine's cores are divided by the ranks on this host (at least 1).
void set_compute_threads(int local_world_size);
int compute_threads();

}  // namespace deepspeed::accel
