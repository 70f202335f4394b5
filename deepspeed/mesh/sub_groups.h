// A group cut into runs of neighbours: nodes within a job, shard groups within the data-parallel ranks.
#pragma once

#include <string>

#include "deepspeed/comm/group.h"

namespace deepspeed::mesh {

struct SubGroups {
  comm::GroupPtr within;  // this rank's run: ranks [k * size, (k + 1) * size) of the group
  comm::GroupPtr across;  // the ranks that have this rank's place in every run, in order of the runs
};

/// Cuts a group into runs of `size` ranks, as DeepSpeed's _create_zero_param_parallel_group
/// (utils/groups.py). A run that spans the group is the group itself. `name` appears in errors. Error when
/// size does not divide the group. Collective over the group.
SubGroups make_sub_groups(const comm::GroupPtr& group, int size, const std::string& name);

}  // namespace deepspeed::mesh
