// From a model without memory to one that answers: the one place where weights take the form in which they
// are multiplied.
#pragma once

#include <torch/nn/module.h>

#include <memory>

#include "deepspeed/comm/group.h"
#include "deepspeed/inference/config.h"
#include "deepspeed/inference/model_source.h"
#include "deepspeed/inference/streamed_model.h"

namespace deepspeed::inference {

struct PreparedModel {
  int64_t bytes = 0;                        // of memory that this rank's weights take
  std::unique_ptr<StreamedModel> streamed;  // null: all of them are in memory
};

/// Reads the weights as config.dtype, this rank's slices of them where `group` is not null, packs them where
/// the files hold them quantized or the configuration says so (dtype int8, replace_with_kernel_inject),
/// leaves them on the disk where it says so (zero), and ends training of the model. All of it is then on
/// `device`. Errors: weights that do not fit the model, forms that are not available. Collective over the
/// group.
PreparedModel prepare_model(torch::nn::Module& model, const ModelSource& source,
                            const InferenceConfig& config, const comm::GroupPtr& group,
                            at::Device device = at::kCPU);

}  // namespace deepspeed::inference
