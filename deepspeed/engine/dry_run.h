// ds_train --dry-run: what a run would do and take, without doing it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "deepspeed/engine/config.h"
#include "deepspeed/models/activation_size.h"
#include "deepspeed/partition/layout.h"
#include "deepspeed/zero/state_bytes.h"

namespace deepspeed::engine {

struct RunPlan {
  std::string model_type;
  std::vector<partition::ParamSize> parameters;
  int world_size = 1;
  int64_t samples = 0, seq_length = 0;
  int64_t steps = 0, steps_per_epoch = 0;
  double activation_bytes = 0;  // models::activation_bytes
};

/// Bytes of the model states on the rank that has the most, all from `config` and the parameters' sizes.
/// Activations, one bucket that travels, parameters that are gathered and libraries come on top.
zero::StateBytes state_bytes(const DeepspeedConfig& config, const partition::Layout& layout);

/// What models::activation_bytes is to assume under `config`.
models::ActivationSetting activation_setting(const DeepspeedConfig& config, int64_t seq_length,
                                             bool recomputed);

/// The plan as lines of text: parameters, partition, batch, steps, buckets and memory.
std::string plan_text(const DeepspeedConfig& config, const RunPlan& plan);

}  // namespace deepspeed::engine
