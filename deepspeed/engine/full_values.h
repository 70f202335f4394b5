// What the engine keeps beside a parameter (its fp32 value, averaged gradient and optimizer states), whole or
// as this rank's part, read and written wherever ZeRO has put it: sharded or not, in memory or on a disk. Of
// a disk only the parameter's own elements are read or written. Mirrors DeepSpeed's utils/tensor_fragment.py
// and runtime/zero/stage3.py (get_full_hp_param to set_local_hp_param; contract 2.6).
//
// For all of them:
// - `parameter` is one of engine.module().parameters(), on every rank the same.
// - Results are fp32 copies; nothing for a parameter that is not trained.
// - Values may have any format and are rounded to that of what they replace. They are the same on every rank,
//   unless they are about this rank's part.
// - Calls come outside forward and backward. safe_*_full_* are collective: every data-parallel rank calls.
//   The others say so where they are.
// - base::Error for what is no parameter, for a value of another shape, for an optimizer state that does not
//   exist (it names those that do) and where there is nothing to set. What fails on one rank of a collective
//   call is every rank's Error.
#pragma once

#include <ATen/core/Tensor.h>

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "deepspeed/engine/engine.h"

namespace deepspeed::engine {

/// What the optimizer updates, [the parameter's sizes]: the master copy, or the parameter itself where it has
/// none.
std::optional<at::Tensor> safe_get_full_fp32_param(Engine& engine, const at::Tensor& parameter);
/// The parameter in the model's format follows at once, on all ranks.
void safe_set_full_fp32_param(Engine& engine, const at::Tensor& parameter, const at::Tensor& value);

/// The sum over the window of accumulation, averaged over the data-parallel ranks, [the parameter's sizes];
/// as in DeepSpeed the loss scale is still in it and clipping is not. Zero for a parameter that backward did
/// not reach. Nothing but from the backward that ends the window to step(), which a window of
/// managed_gradient_accumulation false does not have.
std::optional<at::Tensor> safe_get_full_grad(Engine& engine, const at::Tensor& parameter);
/// What step() will use; norm, clipping and the search for overflows see it. Error where
/// safe_get_full_grad() has nothing.
void safe_set_full_grad(Engine& engine, const at::Tensor& parameter, const at::Tensor& value);
/// Each of the parameters' gradients becomes what `update` makes of it.
void safe_update_full_grad_vectorized(
    Engine& engine, const std::vector<at::Tensor>& parameters,
    const std::function<at::Tensor(const at::Tensor& gradient, const at::Tensor& parameter)>& update);

/// A state of the optimizer by its name ("exp_avg", "exp_avg_sq", "sum"), [the parameter's sizes]; before the
/// first step what the optimizer starts from.
std::optional<at::Tensor> safe_get_full_optimizer_state(Engine& engine, const at::Tensor& parameter,
                                                        const std::string& optim_state_key);
void safe_set_full_optimizer_state(Engine& engine, const at::Tensor& parameter, const at::Tensor& value,
                                   const std::string& optim_state_key);

/// The same of this rank's part alone, at stage 3: [ceil(elements / W)], W being the ranks that parameters
/// are cut over. The part of rank r starts at element r times that of the flattened parameter; what is past
/// the parameter's end is read as zero and ignored when written. Error at other stages. Every rank may call
/// by itself, but for safe_set_local_fp32_param(), which is collective: ranks may keep copies of each other's
/// parts.
std::optional<at::Tensor> safe_get_local_fp32_param(Engine& engine, const at::Tensor& parameter);
void safe_set_local_fp32_param(Engine& engine, const at::Tensor& parameter, const at::Tensor& value);
std::optional<at::Tensor> safe_get_local_grad(Engine& engine, const at::Tensor& parameter);
void safe_set_local_grad(Engine& engine, const at::Tensor& parameter, const at::Tensor& value);
std::optional<at::Tensor> safe_get_local_optimizer_state(Engine& engine, const at::Tensor& parameter,
                                                         const std::string& optim_state_key);
void safe_set_local_optimizer_state(Engine& engine, const at::Tensor& parameter, const at::Tensor& value,
                                    const std::string& optim_state_key);

}  // namespace deepspeed::engine

namespace deepspeed {
using engine::safe_get_full_fp32_param;
using engine::safe_get_full_grad;
using engine::safe_get_full_optimizer_state;
using engine::safe_get_local_fp32_param;
using engine::safe_get_local_grad;
using engine::safe_get_local_optimizer_state;
using engine::safe_set_full_fp32_param;
using engine::safe_set_full_grad;
using engine::safe_set_full_optimizer_state;
using engine::safe_set_local_fp32_param;
using engine::safe_set_local_grad;
using engine::safe_set_local_optimizer_state;
using engine::safe_update_full_grad_vectorized;
}  // namespace deepspeed
