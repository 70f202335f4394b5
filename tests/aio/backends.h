// Tests that hold for every backend that this machine has.
#pragma once

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "deepspeed/aio/backend.h"
#include "deepspeed/base/error.h"

namespace deepspeed::aio {

/// Says which backends are left out and why.
inline std::vector<BackendKind> backends_here() {
  std::vector<BackendKind> here;
  for (BackendKind kind : {BackendKind::kIoUring, BackendKind::kLibaio, BackendKind::kThreadPool}) try {
      factory_of(kind)(1);
      here.push_back(kind);
    } catch (const base::Error& error) {
      fmt::print("without {}: {}\n", name_of(kind), error.what());
    }
  return here;
}

}  // namespace deepspeed::aio
