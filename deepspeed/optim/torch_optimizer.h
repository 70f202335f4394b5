// A client's torch::optim optimizer behind our interface, so that it may run on ZeRO's pieces.
#pragma once

#include <torch/optim/optimizer.h>

#include "deepspeed/optim/optimizer.h"

namespace deepspeed::optim {

/// Makes the client's optimizer on the groups it is given, whose tensors are 1-D fp32 pieces:
///   [](auto groups) { return std::make_unique<torch::optim::SGD>(groups, torch::optim::SGDOptions(0.1)); }
using TorchOptimizerFactory =
    std::function<std::unique_ptr<torch::optim::Optimizer>(std::vector<torch::optim::OptimizerParamGroup>)>;

/// Adapts torch's Adam, AdamW, SGD, RMSprop and Adagrad; others work on more than one element at a time or
/// hide their state, and are a base::Error when the optimizer is made. Rates and betas start as the client
/// set them and follow ParamGroup from then on; the other hyperparameters stay the client's. State names are
/// torch's ("exp_avg", "momentum_buffer", ...); a piece has none before its first update. Per-parameter step
/// counters are step_count().
OptimizerFactory torch_optimizer(TorchOptimizerFactory make);

}  // namespace deepspeed::optim
