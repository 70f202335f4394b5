// From a model without memory to one that answers: the one place where weights take the form in which they
// are multiplied.
#pragma once

#include <torch/nn/module.h>

#include "deepspeed/inference/config.h"
#include "deepspeed/models/weights.h"

namespace deepspeed::inference {

/// Reads the weights as config.dtype and ends training of the model. Errors: forms that are not available
/// yet.
void prepare_model(torch::nn::Module& model, const models::WeightSource& weights,
                   const InferenceConfig& config);

}  // namespace deepspeed::inference
