// The keys of `activation_checkpointing`.
#pragma once

#include "deepspeed/config/schema.h"
#include "deepspeed/recompute/config.h"

namespace deepspeed::recompute {

config::Schema<RecomputeConfig> schema();

}  // namespace deepspeed::recompute
