// The block `activation_checkpointing`: how recomputed Blocks keep their inputs. Which Blocks are recomputed
// the program says (recompute.h).
#pragma once

namespace deepspeed::recompute {

struct RecomputeConfig {
  /// Keep the inputs in host memory rather than on the device.
  bool cpu_checkpointing = false;
  /// Print how long each forward, and each backward with the forward in it, of a recomputed Block takes.
  bool profile = false;
};

}  // namespace deepspeed::recompute
