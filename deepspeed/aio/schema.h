// The configuration keys that aio/ owns.
#pragma once

#include "deepspeed/aio/config.h"
#include "deepspeed/config/schema.h"

namespace deepspeed::aio {

/// The block `aio`.
config::Schema<AioConfig> schema();

}  // namespace deepspeed::aio
