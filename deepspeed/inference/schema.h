// The keys of GenerationConfig.
#pragma once

#include "deepspeed/config/not_yet.h"
#include "deepspeed/config/schema.h"
#include "deepspeed/inference/generation_config.h"

namespace deepspeed::inference {

config::Schema<GenerationConfig> generation_schema();

/// Keys of transformers that would change the result and are not built: rows of the schema that refuse them.
std::vector<config::NotYetRow> generation_keys_refused();
/// Keys of transformers that change no result here: how its caches and outputs are made.
const std::vector<std::string>& generation_keys_without_effect();

}  // namespace deepspeed::inference
