#include "deepspeed/accel/threads.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <thread>

#include "deepspeed/base/env.h"

namespace deepspeed::accel {

void set_compute_threads(int local_world_size) {
  if (base::env("OMP_NUM_THREADS")) return;
  const int cores = std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
  at::set_num_threads(std::max(1, cores / std::max(1, local_world_size)));
}

int compute_threads() { return at::get_num_threads(); }

}  // namespace deepspeed::accel
