// Where each rank's memory is: its model states, counted tensor by tensor, beside what the operating system
// sees.
#pragma once

#include <string>
#include <vector>

#include "deepspeed/comm/group.h"
#include "deepspeed/zero/state_bytes.h"

namespace deepspeed::engine {

/// A line a rank, on rank 0; nothing on the others. Collective.
std::vector<std::string> memory_account(const zero::StateBytes& mine, comm::Group& group);

}  // namespace deepspeed::engine
