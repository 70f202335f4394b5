// The model's tensors, whole on rank 0 alone and one at a time: how exports are written without any rank ever
// holding the model. As DeepSpeed's _zero3_consolidated_16bit_state_dict, but for what is kept.
#pragma once

#include <functional>
#include <string>

#include "deepspeed/comm/group.h"
#include "deepspeed/engine/model_states.h"

namespace deepspeed::engine {

/// All elements of one of the model's parameters or buffers, in its own format and shape: the tensor itself
/// where this rank has it whole, else a copy, which is the caller's.
using WholeValues = std::function<at::Tensor(const at::Tensor& tensor)>;

/// Rank 0 runs `use`, which asks for tensors in whatever order it likes; meanwhile the other ranks send their
/// parts of what it asks for. What fails on one rank is every rank's Error, "<what>: rank <r>: <why>".
/// Collective over `group`, the data-parallel one, outside forward and backward.
void with_whole_values(const ModelStates& states, comm::Group& group, const std::string& what,
                       const std::function<void(const WholeValues&)>& use);

}  // namespace deepspeed::engine
