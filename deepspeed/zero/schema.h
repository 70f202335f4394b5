// The configuration keys that zero/ owns.
#pragma once

#include "deepspeed/config/schema.h"
#include "deepspeed/zero/config.h"

namespace deepspeed::zero {

/// The block `zero_optimization`. Its other keys are in config/not_yet_zero.cpp.
config::Schema<ZeroConfig> schema();

/// The keys of Stage3Config, which lie in the block `zero_optimization`.
config::Schema<Stage3Config> stage3_schema();

/// The blocks `offload_optimizer` and `offload_param` in `zero_optimization`.
config::Schema<OffloadOptimizerConfig> offload_optimizer_schema();
config::Schema<OffloadParamConfig> offload_param_schema();

/// The keys of PlusPlusConfig, which lie there as well.
config::Schema<PlusPlusConfig> plus_plus_schema();

/// The top-level keys of ReductionConfig.
config::Schema<ReductionConfig> reduction_schema();

/// Today's form of the deprecated `zero_optimization: true | false`; nothing when the value is an object
/// already. `root` is the whole configuration: its `allgather_size` becomes allgather_bucket_size.
std::optional<config::Json> rewrite_bool_form(const config::Node& block, const config::Node& root,
                                              config::Warnings& warnings);

}  // namespace deepspeed::zero
