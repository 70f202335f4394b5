// Gives a model's parameters memory and values one by one, in the order in which somebody wants them.
#pragma once

#include <torch/nn/module.h>

#include <map>
#include <string>
#include <unordered_map>

#include "deepspeed/nn/linear.h"
#include "deepspeed/nn/materializer.h"

namespace deepspeed::inference {

class WeightLoader {
 public:
  /// The parameters that the model has now, to be held as `type` on `device`. The source outlives this
  /// object.
  WeightLoader(torch::nn::Module& model, const nn::ParameterSource& source, at::ScalarType type,
               at::Device device = at::kCPU);

  /// As it is to be held.
  const nn::ParameterSpec& spec(const at::Tensor& parameter) const;
  /// Whether it was one of the model's when this object was made.
  bool knows(const at::Tensor& parameter) const { return names_.contains(parameter.unsafeGetTensorImpl()); }
  /// Reads it, unless it has memory already.
  void load(const at::Tensor& parameter) const;

 private:
  const nn::ParameterSource& source_;
  at::Device device_;
  std::map<std::string, nn::ParameterSpec> specs_;
  std::unordered_map<const void*, std::string> names_;  // by tensor
};

}  // namespace deepspeed::inference
