// Which parameters are gathered together: a Block's own, or those of a whole subtree.
#pragma once

#include <torch/nn/module.h>

#include <string>
#include <vector>

#include "deepspeed/nn/block.h"
#include "deepspeed/zero/config.h"

namespace deepspeed::zero {

struct BlockToFetch {
  nn::Block* block = nullptr;
  std::string name;
  std::vector<at::Tensor> parameters;  // that it needs from the start of its forward on
};

/// Every Block but those within a leaf, in registration order. A Block needs the parameters of its module and
/// of children that are no Blocks, and those it says it uses. A leaf (config.leaf_*, or by
/// module_granularity_threshold) needs everything below it.
std::vector<BlockToFetch> blocks_to_fetch(torch::nn::Module& model, const Stage3Config& config);

}  // namespace deepspeed::zero
