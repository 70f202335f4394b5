// Where the real mpirun of Open MPI and of MPICH are on this machine, for tests.
#pragma once

#include <string>
#include <vector>

#include "deepspeed/base/env.h"
#include "deepspeed/base/error.h"
#include "deepspeed/launcher/runner_plan.h"

namespace deepspeed::test_support {

/// The executable, or "" where that MPI is not installed.
inline std::string mpirun_of(const char* launcher) {
  try {
    return launcher::find_runner(launcher, base::env("PATH").value_or("/usr/bin:/bin"));
  } catch (const base::Error&) {
    return "";
  }
}

/// Open MPI refuses to run as root, and by default to bind more ranks than there are cores.
inline const std::vector<std::string> kOpenMpiAsRoot = {"OMPI_ALLOW_RUN_AS_ROOT=1",
                                                        "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1"};

}  // namespace deepspeed::test_support
