// This machine's cores and memory nodes: the only user of hwloc.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "deepspeed/launcher/core_binding.h"

namespace deepspeed::launcher {

/// What this process may use (cgroup and affinity respected). Core numbers are the operating system's.
class Topology {
 public:
  /// Looks at this machine; tens of milliseconds on a large one.
  Topology();
  ~Topology();
  Topology(const Topology&) = delete;
  Topology& operator=(const Topology&) = delete;

  /// One hardware thread of every physical core, ascending.
  std::vector<int> physical_cores() const;
  /// Every memory node with all its hardware threads, by number.
  std::vector<NumaNode> numa_nodes() const;
  /// Error naming the first of `cores` that this process may not run on.
  void check_usable(const std::vector<int>& cores) const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace deepspeed::launcher
