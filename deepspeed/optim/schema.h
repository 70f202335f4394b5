// The configuration keys that optim/ owns.
#pragma once

#include "deepspeed/config/schema.h"
#include "deepspeed/optim/config.h"

namespace deepspeed::optim {

/// The blocks `optimizer`, `scheduler`, `fp16`, `bf16` and `torch_autocast`.
config::Schema<OptimizerConfig> optimizer_schema();
config::Schema<SchedulerConfig> scheduler_schema();
config::Schema<Fp16Config> fp16_schema();
config::Schema<Bf16Config> bf16_schema();
config::Schema<AutocastConfig> autocast_schema();

}  // namespace deepspeed::optim
