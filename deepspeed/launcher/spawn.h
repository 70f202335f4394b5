// Starts one rank: fork, execve with an argv vector, never a shell.
#pragma once

#include <sys/types.h>

#include "deepspeed/launcher/rank_plan.h"
#include "deepspeed/launcher/signal_watch.h"

namespace deepspeed::launcher {

struct SpawnedRank {
  pid_t pid = -1;
  int stderr_fd = -1;  // read end, non-blocking; -1 when the output goes to a log
};

/// The child dies with this process (PR_SET_PDEATHSIG). Only a plan with gets_socket inherits `socket_fd`.
/// Errors name program and reason when execve, the log file or the binding fails.
SpawnedRank spawn_rank(const RankPlan& plan, int socket_fd, const SignalWatch& signals);

}  // namespace deepspeed::launcher
