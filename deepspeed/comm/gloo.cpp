// The only file that includes ProcessGroupGloo.hpp: gloo's headers come from another release than the library
// inside libtorch, so nothing of gloo's own may be instantiated here (tests/comm/symbols_test.cpp).
#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>

#include "deepspeed/comm/backends.h"

namespace deepspeed::comm {

Connect connect_gloo(const std::string& local_address) {
  return [local_address](const StorePtr& store, int rank, int size,
                         std::chrono::milliseconds timeout) -> BackendPtr {
    auto options = c10d::ProcessGroupGloo::Options::create(timeout);
    options->devices.push_back(c10d::ProcessGroupGloo::createDeviceForHostname(local_address));
    return c10::make_intrusive<c10d::ProcessGroupGloo>(store, rank, size, options);
  };
}

}  // namespace deepspeed::comm
