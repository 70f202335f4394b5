#include "deepspeed/recompute/schema.h"

namespace deepspeed::recompute {

config::Schema<RecomputeConfig> schema() {
  config::Schema<RecomputeConfig> s(
      "How activation checkpointing keeps the inputs of recomputed layers; the program switches it on "
      "(ds_train --activation-checkpointing).");
  s.field("cpu_checkpointing", &RecomputeConfig::cpu_checkpointing)
      .doc("Keep them in host memory; on the CPU they are there anyway.");
  s.field("profile", &RecomputeConfig::profile)
      .doc("Print a line for each forward and backward of a recomputed layer, with its time.");
  return s;
}

}  // namespace deepspeed::recompute
