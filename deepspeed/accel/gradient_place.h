// Where gradients of leaves are collected, told to the ops that compute them: a large gradient that is
// written there at once need not be copied. Whoever collects gradients offers places; ops ask as they need
// one.
#pragma once

#include <ATen/core/Tensor.h>

#include <functional>
#include <memory>

namespace deepspeed::accel {

/// Gives memory for a leaf's next gradient: a tensor of its number of elements and its type with a storage
/// of its own, so that autograd may add to it in place. Its contents are to be overwritten. Undefined: there
/// is no place now.
using GradientPlace = std::function<at::Tensor()>;

/// Offers places for the gradients of `leaf`, which must outlive the handle that is returned. A second offer
/// replaces the first.
[[nodiscard]] std::shared_ptr<void> offer_gradient_place(const at::Tensor& leaf, GradientPlace place);

/// Whether somebody offers places for gradients of `leaf`.
bool has_gradient_place(const at::Tensor& leaf);

/// A place for the next gradient of `leaf`, in its shape, or an undefined tensor. What is written there is to
/// be returned as the gradient: whoever offered it knows its own memory again.
at::Tensor gradient_place(const at::Tensor& leaf);

}  // namespace deepspeed::accel
