// Which rank a program is that mpirun or srun started, from the variables that they set.
#pragma once

#include <optional>
#include <string>

namespace deepspeed::base {

struct DiscoveredRank {
  std::string starter;  // "Open MPI", "MPICH, Intel MPI or PALS", "SLURM"
  int rank = 0;
  int local_rank = 0;
  int world_size = 1;
  std::optional<int> local_world_size;  // ranks on this host, where the starter says so
  bool operator==(const DiscoveredRank&) const = default;
};

/// Nothing when no starter's variables are set. Of starters within starters (mpirun in a SLURM job) the inner
/// one counts. Errors, each naming the variables: some set but others missing, variables of one meaning that
/// contradict each other, values that are no numbers or out of range.
std::optional<DiscoveredRank> discover_rank();

}  // namespace deepspeed::base
