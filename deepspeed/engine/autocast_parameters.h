// Which parameters' gradients torch_autocast lets travel in 16 bits. Mirrors init_autocast_params of
// DeepSpeed's runtime/torch_autocast.py.
#pragma once

#include <torch/nn/module.h>

#include <optional>
#include <string>
#include <unordered_set>
#include <vector>

namespace deepspeed::engine {

/// The parameters (their TensorImpl) that modules of the named classes hold themselves. A class is named as
/// in Python ("torch.nn.Linear", of which the last part counts) or C++ ("torch::nn::LinearImpl"); Blocks of
/// ours count as the layers of torch.nn that they stand for (nn::Block::torch_layers). Nothing: Linear,
/// Conv1d, Conv2d, Conv3d. base::Error, with the nearest name, for a class that neither the model nor
/// torch.nn has.
std::unordered_set<const void*> lower_precision_parameters(
    const torch::nn::Module& model, const std::optional<std::vector<std::string>>& classes);

}  // namespace deepspeed::engine
