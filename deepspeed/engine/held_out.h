// Losses of a causal language model over collated samples.
#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

#include "deepspeed/comm/group.h"
#include "deepspeed/data/loader.h"
#include "deepspeed/models/decoder.h"

namespace deepspeed::engine {

/// The loss of a batch of data::TokenDataset ({ids}: every token is learnt) or data::PackedDataset ({ids,
/// labels, starts}).
at::Tensor causal_loss(models::Decoder& model, const std::vector<at::Tensor>& batch);

/// The mean loss of all predictions in a data set, without dropout and gradients; the model is left in
/// training mode. Every rank of the group scores its share, in micro-batches. Collective.
double held_out_loss(models::Decoder& model, const data::Dataset& held_out, comm::Group& group,
                     int64_t micro_batch);

}  // namespace deepspeed::engine
