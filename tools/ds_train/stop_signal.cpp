#include "tools/ds_train/stop_signal.h"

#include <array>
#include <csignal>

namespace deepspeed::train {
namespace {

constexpr std::array kSignals = {SIGINT, SIGTERM, SIGHUP};
volatile std::sig_atomic_t g_received = 0;  // signals are a process's own

void note(int signal) { g_received = signal; }

}  // namespace

StopSignal::StopSignal() {
  for (const int signal : kSignals) {
    struct sigaction old {};
    if (::sigaction(signal, nullptr, &old) != 0 || old.sa_handler == SIG_IGN) continue;
    struct sigaction action {};
    action.sa_handler = note;
    action.sa_flags = SA_RESETHAND | SA_RESTART;
    ::sigaction(signal, &action, nullptr);
  }
}

StopSignal::~StopSignal() {
  for (const int signal : kSignals) {
    struct sigaction now {};
    if (::sigaction(signal, nullptr, &now) == 0 && now.sa_handler == note) ::signal(signal, SIG_DFL);
  }
}

int StopSignal::received() { return g_received; }

void StopSignal::end_as_signalled() {
  if (g_received == 0) return;
  ::signal(g_received, SIG_DFL);
  ::raise(g_received);
}

}  // namespace deepspeed::train
