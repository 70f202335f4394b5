// From a launch to the one process, mpirun or srun, that starts the ranks.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "deepspeed/launcher/hostfile.h"
#include "deepspeed/launcher/options.h"
#include "deepspeed/launcher/rank_plan.h"

namespace deepspeed::launcher {

/// The executable of `launcher` on `search_path` (a PATH value). mpirun is one name for several programs:
/// where the first is another family's, Debian's mpirun.openmpi or mpirun.mpich beside it is taken. An Error
/// when the launcher is not installed.
std::string find_runner(std::string_view launcher, const std::string& search_path);

/// The runner's process: words as runner_command gives them; its environment is this one with MASTER_ADDR,
/// MASTER_PORT and DS_LAUNCH_T0 and without the rank of whoever started `deepspeed`. Reads ~/.deepspeed_env
/// and
/// ./.deepspeed_env (or what DS_ENV_FILE calls them). Errors: limits of the runner; several hosts without
/// --master_addr; no hostfile for openmpi.
RankPlan plan_runner(const LaunchOptions& options, const HostPool& hosts, bool accelerators,
                     const LaunchFacts& facts);

}  // namespace deepspeed::launcher
