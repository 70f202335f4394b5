// Which cores and which memory a rank is given: a pure function. After DeepSpeed's utils/numa.py.
#pragma once

#include <span>
#include <string>
#include <vector>

namespace deepspeed::launcher {

/// Cores and memory as the operating system numbers them.
struct NumaNode {
  int id = 0;
  std::vector<int> cores;  // ascending; empty for a node of memory alone, such as flat-mode HBM
};

/// What --bind_cores_to_rank decides for one rank.
struct CoreBinding {
  enum class Memory { kAnywhere, kOnly, kPrefer };
  std::vector<int> cores;             // ascending, at least one
  Memory memory = Memory::kAnywhere;  // kOnly: from `nodes` alone; kPrefer: from `nodes` while they have some
  std::vector<int> nodes;             // empty for kAnywhere
  bool operator==(const CoreBinding&) const = default;
};

/// One binding a rank: every rank gets cores.size()/ranks consecutive ones of `cores`, what is left over
/// stays free. A rank whose cores lie in one node gets that node's memory; where every node with cores has a
/// partner without, the partner (flat HBM) is preferred instead; where neighbouring nodes list the same
/// cores (fake NUMA), memory comes from all of them. Error: fewer cores than ranks.
std::vector<CoreBinding> bind_cores(const std::vector<int>& cores, int ranks,
                                    const std::vector<NumaNode>& nodes);

/// The same as numactl's command line: numactl -m 0 -C 0-3.
std::vector<std::string> numactl_command(const CoreBinding& binding);

}  // namespace deepspeed::launcher
