// Who has arrived, by way of the store. Internal to comm.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "deepspeed/comm/group_state.h"

namespace deepspeed::comm {

/// Announces this rank under `key` and waits for all others to do so. Returns the ranks that were missing
/// when the first rank gave up (empty: all are here). Rank 0, whose process may hold the store, leaves last.
/// Throws when the store itself cannot be reached.
std::vector<int> check_in(const StorePtr& store, const std::string& key, int rank, int size,
                          std::chrono::milliseconds timeout);

/// Sets state.backend and its policy by state.connect, with `store` as the group's name space, and returns
/// once every member has done so: a rank that soon leaves again must not look like a failure to one that
/// still connects.
void connect_group(GroupState& state, const StorePtr& store);

}  // namespace deepspeed::comm
