// The only file that includes ProcessGroupGloo.hpp: gloo's headers come from another release than the library
// inside libtorch, so nothing of gloo's own may be instantiated here (tests/comm/symbols_test.cpp).
#include <signal.h>
#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>

#include "deepspeed/base/env.h"
#include "deepspeed/comm/backends.h"

namespace deepspeed::comm {
namespace {

// libtorch's flight recorder is one map a process, filled without a lock: several groups used from several
// threads (ranks as threads, or a group beside the world) corrupt it. Our groups name what hangs themselves,
// so it stays off unless the user asked for it. Read by libtorch once, when the first operation is issued.
void switch_off_flight_recorder() {
  static const bool done = [] {
    for (const char* name : {"TORCH_FR_BUFFER_SIZE", "TORCH_NCCL_TRACE_BUFFER_SIZE"})
      if (base::env(name)) return true;
    base::set_env("TORCH_FR_BUFFER_SIZE", "0");
    return true;
  }();
  (void)done;
}

// Gloo writes to sockets without MSG_NOSIGNAL, so a peer that dies at the wrong moment would kill this
// process instead of failing the operation. A handler of the program's own is left alone.
void ignore_broken_pipes() {
  struct sigaction current {};
  if (sigaction(SIGPIPE, nullptr, &current) == 0 && current.sa_handler == SIG_DFL) signal(SIGPIPE, SIG_IGN);
}

}  // namespace

Connect connect_gloo(const std::string& local_address) {
  switch_off_flight_recorder();
  ignore_broken_pipes();
  return [local_address](const StorePtr& store, int rank, int size,
                         std::chrono::milliseconds timeout) -> BackendPtr {
    auto options = c10d::ProcessGroupGloo::Options::create(timeout);
    options->devices.push_back(c10d::ProcessGroupGloo::createDeviceForHostname(local_address));
    return c10::make_intrusive<c10d::ProcessGroupGloo>(store, rank, size, options);
  };
}

}  // namespace deepspeed::comm
