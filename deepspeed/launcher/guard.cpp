#include "deepspeed/launcher/guard.h"

#include <fmt/format.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <exception>

#include "deepspeed/base/error.h"
#include "deepspeed/launcher/process_tree.h"
#include "deepspeed/launcher/signal_watch.h"

namespace deepspeed::launcher {
namespace {

constexpr std::chrono::seconds kPatience{5};

[[noreturn]] void run_child(const std::function<int(SignalWatch&)>& body, SignalWatch& signals,
                            pid_t parent) {
  int code = 1;
  // The watch blocks SIGTERM, so it waits to be read instead of ending us.
  ::prctl(PR_SET_PDEATHSIG, SIGTERM);
  if (::getppid() != parent) ::_exit(128 + SIGTERM);
  try {
    code = body(signals);
  } catch (const std::exception& error) {
    fmt::print(stderr, "deepspeed: {}\n", error.what());
  }
  std::fflush(nullptr);
  ::_exit(code);
}

/// The status of `child` once it has ended.
int wait_for(pid_t child, SignalWatch& signals) {
  for (int status = 0;;) {
    for (pid_t pid = 0; (pid = ::waitpid(-1, &status, WNOHANG)) > 0;)
      if (pid == child) return status;
    pollfd polled{signals.fd(), POLLIN, 0};
    ::poll(&polled, 1, -1);
    for (int signal : signals.take())
      if (signal != SIGCHLD) ::kill(child, signal);
  }
}

}  // namespace

int run_guarded(const std::function<int(SignalWatch&)>& body) {
  SignalWatch signals;
  become_reaper();
  const pid_t parent = ::getpid();
  const pid_t child = ::fork();
  DS_CHECK(child >= 0, "cannot start the launcher's process: {}", std::strerror(errno));
  if (child == 0) run_child(body, signals, parent);
  const int status = wait_for(child, signals);
  const bool clean = end_descendants(kPatience);
  if (!clean)
    fmt::print(stderr, "deepspeed: processes {} do not end even when killed\n", descendants(parent).front());
  if (!WIFSIGNALED(status)) return WEXITSTATUS(status);
  fmt::print(stderr, "deepspeed: the launcher's process was ended by signal {}; its ranks were ended too\n",
             WTERMSIG(status));
  return 128 + WTERMSIG(status);
}

}  // namespace deepspeed::launcher
