// The command lines by which mpirun and srun start the ranks: pure functions. After DeepSpeed's
// launcher/multinode_runner.py, word for word.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "deepspeed/launcher/core_binding.h"
#include "deepspeed/launcher/exports.h"
#include "deepspeed/launcher/hostfile.h"
#include "deepspeed/launcher/options.h"

namespace deepspeed::launcher {

/// What the words depend on beside the options.
struct RunnerFacts {
  HostPool hosts;  // what filters and counts left
  std::string master_addr;
  Exports exports;
  std::vector<std::string> command;  // the program with what stands before and after it
  /// mpich: what the program's words stand behind, e.g. /bin/deepspeed --map_rank. It gives each process RANK
  /// and LOCAL_RANK and becomes the program.
  std::vector<std::string> mapper;
  std::vector<CoreBinding> bindings;  // impi: one a rank of a host, or none
  bool accelerators = false;          // slurm: slots are devices that srun can count
};

/// Errors name the flag that `options.launcher` (openmpi, mpich, impi or slurm) cannot honour.
void check_runner_limits(const LaunchOptions& options, const HostPool& hosts);

/// slurm places tasks by count: an Error unless every host gives its first N slots, N being the same for all.
void check_slurm_slots(const HostPool& hosts);

/// argv, from the runner's name to the program's last argument. Errors: hosts that the runner cannot express.
std::vector<std::string> runner_command(const LaunchOptions& options, const RunnerFacts& facts);

}  // namespace deepspeed::launcher
