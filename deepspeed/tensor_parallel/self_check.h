// Whether a sharded model gives what the whole one gives, tried when it is loaded.
#pragma once

#include <torch/nn/module.h>

#include <functional>

#include "deepspeed/comm/group.h"
#include "deepspeed/nn/materializer.h"

namespace deepspeed::tensor_parallel {

struct SelfCheck {
  /// What is compared; the same call on every rank. E.g. a prompt's logits.
  std::function<at::Tensor(torch::nn::Module& model)> run;
  /// Largest difference, over the largest magnitude of what one rank gives; 0: by the type of the model's
  /// first parameter, 1e-4 for fp32 and 5e-2 for 16 bits.
  double tolerance = 0;
};

/// Runs the sharded model on all ranks and the whole one on rank 0, and compares what they give Block by
/// Block. `whole` is another model of the same class and architecture, unmaterialized and unsharded, good for
/// one call; rank 0 reads each matrix of it from `source` just before it is used, to the type of its
/// counterpart in `sharded` (of the first parameter there, where its counterpart is packed), and lets it go
/// right after: it holds one at a time, and reads the whole model once, twice where a matrix is used twice.
/// The others may pass the same and only wait. Both models are left in evaluation mode. Returns the largest
/// relative difference of the results. Error, on every rank: they differ by more; it names the first Block
/// whose result does. Collective.
double check_against_one_rank(torch::nn::Module& sharded, torch::nn::Module& whole,
                              const nn::ParameterSource& source, comm::Group& group, const SelfCheck& check);

}  // namespace deepspeed::tensor_parallel
