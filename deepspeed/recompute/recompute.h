// Activation checkpointing: of a Block's forward only the inputs are kept, and backward computes the rest
// again. Memory falls to the inputs of all recomputed Blocks and the activations of one; the cost is one more
// forward. Source: Chen et al., "Training deep nets with sublinear memory cost" (2016); mirrors DeepSpeed's
// runtime/activation_checkpointing/checkpointing.py (contract 2.12).
#pragma once

#include <torch/nn/module.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "deepspeed/accel/rng.h"
#include "deepspeed/nn/block.h"
#include "deepspeed/recompute/config.h"

namespace deepspeed::recompute {

struct Options {
  RecomputeConfig config;
  /// The random state of the model's dropout: the second computation draws the masks of the first. May be
  /// null where nothing is dropped.
  std::shared_ptr<accel::Rng> rng;
  /// Where the lines of config.profile go, "time (ms) | fwd: 1.23" and "time (ms) | backward: 4.56" (of which
  /// the forward that is computed again is a part), as DeepSpeed's rank 0 prints them; null: nowhere.
  std::function<void(const std::string& line)> print;
};

/// compute(inputs), now and once more in each backward through it. Gradients reach the inputs and every
/// parameter that `compute` uses, in the same bits as without. `compute` must do the same both times: it must
/// not write anything but what it returns (no KvCache), and what it refers to must live until backward. Only
/// gradients of first order, and not torch::autograd::grad of chosen inputs: that gives parameters theirs,
/// too.
std::vector<at::Tensor> checkpoint(const nn::ForwardRunner::Compute& compute,
                                   const std::vector<at::Tensor>& inputs, const Options& options);

/// Which Blocks of a model to recompute, by dotted name.
using Selection = std::function<bool(const std::string& name, nn::Block& block)>;

/// The elements of the model's torch::nn::ModuleLists and Sequentials: the layers of what is deep. Lists
/// within such an element do not count.
Selection layers_of(torch::nn::Module& model);

/// From now on the selected Blocks are recomputed in backward. Returns how many they are. A Block within one
/// that is recomputed may be recomputed itself.
size_t recompute_blocks(torch::nn::Module& model, const Selection& selection, const Options& options);

}  // namespace deepspeed::recompute
