// The configuration keys that observe/ owns.
#pragma once

#include "deepspeed/config/schema.h"
#include "deepspeed/observe/config.h"

namespace deepspeed::observe {

/// wall_clock_breakdown, tensorboard, csv_monitor, timers, and the monitors of Python libraries (wandb,
/// comet), which are refused when switched on. All of them stand at the top of the file.
config::Schema<ObserveConfig> schema();

}  // namespace deepspeed::observe
