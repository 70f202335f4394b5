// All processes that descend from this one, children of dead children included: become_reaper() makes those
// fall to us, so parentage alone finds them, whatever session or process group they moved to.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <vector>

namespace deepspeed::launcher {

/// From now on orphaned descendants become children of this process instead of init's.
void become_reaper();

/// Living descendants of `root`, parents before their children. Zombies are left out.
std::vector<pid_t> descendants(pid_t root);

/// Sends `signal` to every living descendant of this process. Only this process reaps its children, so no id
/// is reused between the look and the kill.
void signal_descendants(int signal);

/// SIGKILLs and reaps until no descendant is left, or `patience` has passed (a process in uninterruptible
/// sleep). True when nobody is left.
bool end_descendants(std::chrono::milliseconds patience);

}  // namespace deepspeed::launcher
