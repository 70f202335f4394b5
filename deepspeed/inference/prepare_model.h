// From a model without memory to one that answers: the one place where weights take the form in which they
// are multiplied.
#pragma once

#include <torch/nn/module.h>

#include "deepspeed/comm/group.h"
#include "deepspeed/inference/config.h"
#include "deepspeed/models/arch_spec.h"
#include "deepspeed/models/weights.h"

namespace deepspeed::inference {

/// Reads the weights as config.dtype, this rank's slices of them where `group` is not null, packs them where
/// the configuration says so (dtype int8, replace_with_kernel_inject), and ends training of the model. What
/// is packed already stays. Returns the bytes that this rank's other weights take. Errors: forms that are not
/// available. Collective over the group.
int64_t prepare_model(torch::nn::Module& model, const models::ArchSpec& spec,
                      const models::WeightSource& weights, const InferenceConfig& config,
                      const comm::GroupPtr& group);

}  // namespace deepspeed::inference
