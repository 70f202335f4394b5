// ZeRO as a table: for each model state, is it sharded over the data-parallel group, and where does it live.
// Every stage and every offload is a row; the code reads the table, never the stage number. Source:
// Rajbhandari et al., "ZeRO: Memory Optimizations Toward Training Trillion Parameter Models" (SC20).
#pragma once

#include "deepspeed/zero/config.h"

namespace deepspeed::zero {

struct Placement {
  bool sharded = false;
  /// On a CPU kDevice and kCpu are one memory.
  Home home = Home::kDevice;
  bool operator==(const Placement&) const = default;
};

struct StateTable {
  Placement parameter, gradient, optimizer;
  bool operator==(const StateTable&) const = default;
};

/// The row of a configuration. Error for what is not built.
StateTable state_table(const ZeroConfig& config);

}  // namespace deepspeed::zero
