// The configuration keys that checkpoint/ owns.
#pragma once

#include "deepspeed/checkpoint/config.h"
#include "deepspeed/config/schema.h"

namespace deepspeed::checkpoint {

/// The block `checkpoint`.
config::Schema<CheckpointConfig> schema();

}  // namespace deepspeed::checkpoint
