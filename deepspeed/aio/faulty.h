// A backend that fails on purpose, for the tests of what is built on handles.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>

#include "deepspeed/aio/backend.h"

namespace deepspeed::aio {

/// What becomes of a transfer.
struct Fault {
  /// Fails with this errno, and nothing is moved. 0: it is carried out.
  int error = 0;
  /// It moves no more bytes than this.
  size_t at_most = SIZE_MAX;
};

/// Asked before every transfer; `number` counts those of one backend from 0. Nothing: the transfer is left
/// alone. A script that waits keeps the transfer in flight. With several workers it is called from several
/// threads.
using FaultScript = std::function<std::optional<Fault>(const Transfer& transfer, int64_t number)>;

BackendFactory with_faults(BackendFactory inner, FaultScript script);

}  // namespace deepspeed::aio
