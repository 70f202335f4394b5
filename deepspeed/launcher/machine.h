// What this machine offers to ranks, found without loading libtorch.
#pragma once

#include <string>

namespace deepspeed::launcher {

struct Machine {
  std::string accelerator;  // "cpu" or "cuda"
  int default_slots = 1;    // ranks when nothing was said: GPUs, or 1 on a CPU
  int slots = 1;            // ids that filters may name: GPUs, or the cores of a CPU
};

/// Looks at DS_ACCELERATOR and the devices. Errors: an unknown or unbuilt accelerator; cuda without a device.
Machine this_machine();

}  // namespace deepspeed::launcher
