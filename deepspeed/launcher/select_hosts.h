// From flags, hostfile and machine to the hosts and slots that a launch uses: a pure function.
#pragma once

#include <optional>
#include <string>

#include "deepspeed/launcher/hostfile.h"
#include "deepspeed/launcher/machine.h"
#include "deepspeed/launcher/options.h"

namespace deepspeed::launcher {

struct Selection {
  HostPool hosts;    // never empty
  std::string note;  // one line for the user about what was understood, or empty
};

/// `hostfile`: nothing when there is none, which means this machine, called localhost. `visible_devices`: the
/// value of CUDA_VISIBLE_DEVICES, empty when unset; without hostfile, filters and counts it becomes
/// "--include localhost:LIST". Errors: see filter_hosts; counts together with filters; more nodes than hosts;
/// nothing left.
Selection select_hosts(const LaunchOptions& options, const std::optional<HostPool>& hostfile,
                       const Machine& machine, const std::string& visible_devices);

}  // namespace deepspeed::launcher
