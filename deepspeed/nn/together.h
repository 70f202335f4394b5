// A computation of which every rank does a part.
#pragma once

#include <ATen/core/Tensor.h>

#include <functional>

namespace deepspeed::nn {

/// Both are differentiable, and plain copies where they are empty.
struct Together {
  std::function<at::Tensor(const at::Tensor& input)> enter;  // what all parts read: the same on every rank
  std::function<at::Tensor(const at::Tensor& part)> join;    // this rank's part -> the whole, on every rank
};

}  // namespace deepspeed::nn
