// A parent that outlives whatever happens to the launcher's working process.
#pragma once

#include <functional>

#include "deepspeed/launcher/signal_watch.h"

namespace deepspeed::launcher {

/// Runs `body` in a child process, with the watch that reads its signals, and returns its exit code. Signals
/// that ask to stop are passed on to it. When the child is killed, all of its descendants are ended and 128+N
/// is returned; when this process is killed, the child receives SIGTERM. So no single kill leaves a rank
/// behind.
int run_guarded(const std::function<int(SignalWatch&)>& body);

}  // namespace deepspeed::launcher
