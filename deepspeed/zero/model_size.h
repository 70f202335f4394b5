// The estimates of memory_estimate.h for a model that is there.
#pragma once

#include <torch/nn/module.h>

#include "deepspeed/zero/memory_estimate.h"

namespace deepspeed::zero {

/// As DeepSpeed counts: every parameter once, and of layers those that a module itself holds. Parameters need
/// no memory yet (nn/materializer.h).
ModelSize model_size(const torch::nn::Module& model);

inline std::string estimate_zero2_model_states_mem_needs_all_live(const torch::nn::Module& model,
                                                                  const EstimateOptions& options = {}) {
  return estimate_zero2_model_states_mem_needs_all_cold(model_size(model).total_params, options);
}
inline std::string estimate_zero3_model_states_mem_needs_all_live(const torch::nn::Module& model,
                                                                  const EstimateOptions& options = {}) {
  return estimate_zero3_model_states_mem_needs_all_cold(model_size(model), options);
}

}  // namespace deepspeed::zero
