// The keys of InferenceConfig.
#pragma once

#include "deepspeed/config/schema.h"
#include "deepspeed/inference/config.h"

namespace deepspeed::inference {

config::Schema<InferenceConfig> inference_schema();

}  // namespace deepspeed::inference
