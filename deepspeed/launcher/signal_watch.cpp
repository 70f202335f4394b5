#include "deepspeed/launcher/signal_watch.h"

#include <sys/signalfd.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "deepspeed/base/error.h"

namespace deepspeed::launcher {

SignalWatch::SignalWatch() {
  sigset_t watched;
  sigemptyset(&watched);
  for (int signal : {SIGCHLD, SIGINT, SIGTERM, SIGQUIT}) sigaddset(&watched, signal);
  struct sigaction hangup {};
  if (::sigaction(SIGHUP, nullptr, &hangup) == 0 && hangup.sa_handler != SIG_IGN) sigaddset(&watched, SIGHUP);
  // A parent that ignored SIGCHLD would make our children vanish before their exit codes are read.
  struct sigaction standard {};
  standard.sa_handler = SIG_DFL;
  ::sigaction(SIGCHLD, &standard, nullptr);
  struct sigaction ignore {};
  ignore.sa_handler = SIG_IGN;
  ::sigaction(SIGPIPE, &ignore, &pipe_before_);
  ::sigprocmask(SIG_BLOCK, &watched, &mask_before_);
  fd_ = ::signalfd(-1, &watched, SFD_CLOEXEC | SFD_NONBLOCK);
  DS_CHECK(fd_ >= 0, "cannot watch signals: {}", std::strerror(errno));
}

SignalWatch::~SignalWatch() {
  ::close(fd_);
  restore();
}

std::vector<int> SignalWatch::take() {
  std::vector<int> signals;
  signalfd_siginfo info{};
  while (::read(fd_, &info, sizeof(info)) == static_cast<ssize_t>(sizeof(info)))
    signals.push_back(static_cast<int>(info.ssi_signo));
  return signals;
}

void SignalWatch::restore() const {
  ::sigaction(SIGPIPE, &pipe_before_, nullptr);
  ::sigprocmask(SIG_SETMASK, &mask_before_, nullptr);
}

}  // namespace deepspeed::launcher
