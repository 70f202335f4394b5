#pragma once

#include <ATen/core/Tensor.h>

#include <string>

namespace deepspeed::zero {

/// A parameter, and its dotted name in the model.
struct NamedParameter {
  std::string name;
  at::Tensor tensor;
};

}  // namespace deepspeed::zero
