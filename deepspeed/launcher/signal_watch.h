// Signals as readable events, so that one poll() waits for children, users and pipes alike.
#pragma once

#include <csignal>
#include <vector>

namespace deepspeed::launcher {

/// While it lives, SIGCHLD, SIGINT, SIGTERM, SIGQUIT and (unless ignored, as under nohup) SIGHUP of this
/// single-threaded process are blocked and can be read from fd(); SIGPIPE is ignored. The destructor restores
/// what was. A fork()ed child may go on using it, and then reads its own signals; it calls restore() before
/// execve.
class SignalWatch {
 public:
  SignalWatch();
  ~SignalWatch();
  SignalWatch(const SignalWatch&) = delete;
  SignalWatch& operator=(const SignalWatch&) = delete;

  int fd() const { return fd_; }
  /// The signals that arrived since the last call, without waiting.
  std::vector<int> take();
  /// Mask and dispositions as they were before; async-signal-safe, for use between fork and execve.
  void restore() const;

 private:
  int fd_ = -1;
  sigset_t mask_before_{};
  struct sigaction pipe_before_ {};
};

}  // namespace deepspeed::launcher
