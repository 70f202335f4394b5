// `deepspeed --map_rank PROGRAM`: what MPICH's mpirun starts in DeepSpeed's launcher_helper.py's place.
#pragma once

#include "deepspeed/launcher/options.h"

namespace deepspeed::launcher {

/// Sets RANK and LOCAL_RANK, and WORLD_SIZE unless it is set, from the variables of the mpirun that started
/// this process, and becomes the program. Returns never; Errors: no such variables, contradictions, no such
/// program.
[[noreturn]] void map_rank(const LaunchOptions& options);

}  // namespace deepspeed::launcher
