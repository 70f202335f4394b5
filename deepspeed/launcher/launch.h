// One launch from parsed flags to exit code.
#pragma once

#include <string>

#include "deepspeed/launcher/options.h"

namespace deepspeed::launcher {

/// Seconds since 1970 with nanoseconds, "1700000000.123456789".
std::string unix_time_now();

/// Chooses hosts, finds the program, starts the ranks (on one host itself, on several or with force_multi
/// through mpirun or srun) and watches them to the end. Returns the exit code (see Supervisor::run).
/// Everything wrong before ranks exist is an Error. `start_time`: unix_time_now() at the start of main.
int launch(const LaunchOptions& options, const std::string& start_time);

}  // namespace deepspeed::launcher
