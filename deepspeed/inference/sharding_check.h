// tensor_parallel.check_against_one_rank: a prompt over the ranks beside the same prompt on one.
#pragma once

#include <torch/nn/module.h>

#include "deepspeed/comm/group.h"
#include "deepspeed/inference/model_source.h"
#include "deepspeed/inference/task.h"

namespace deepspeed::inference {

/// What `sharded` gives for a prompt of tokens from all over the vocabulary (logits, or a bare encoder's last
/// hidden states), compared with what `whole` gives on rank 0: a model of the same class without memory,
/// which reads its weights piece by piece (tensor_parallel/self_check.h) and holds none after. Rank 0 logs
/// how far they differ. Error, on every rank, where that is more than 1e-4 (fp32) or 5e-2 (16 bits) of the
/// largest value, naming the first Block that does; and for experts in 16 bits, whose choices rounding
/// changes. Collective.
void check_sharding(torch::nn::Module& sharded, torch::nn::Module& whole, const ModelSource& source,
                    Task task, comm::Group& group);

}  // namespace deepspeed::inference
