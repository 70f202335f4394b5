// Ranks as threads of one process, for tests.
#pragma once

#include <chrono>
#include <functional>

#include "deepspeed/comm/rendezvous.h"

namespace deepspeed::comm {

/// Calls body once a rank, each on its own thread with its own handle on a world of that size (over
/// loopback or through shared memory, as for ranks that are processes). When a rank throws, the others'
/// pending and later operations fail at once, and the first failure is rethrown after all threads have ended.
void run_ranks(int world_size, const std::function<void(GroupPtr)>& body,
               std::chrono::milliseconds timeout = std::chrono::seconds(60),
               Backend backend = Backend::kAuto);

}  // namespace deepspeed::comm
