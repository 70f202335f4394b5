// Linear layers in 8-bit floating point (ops/fp8_linear.h): what inference puts in the place of dense ones.
#pragma once

#include "deepspeed/nn/projection.h"
#include "deepspeed/ops/fp8_linear.h"

namespace deepspeed::nn {

/// Has no parameters; refuses gradients.
class Fp8Projection : public Projection {
 public:
  explicit Fp8Projection(ops::Fp8Weight weight) : weight_(std::move(weight)) {}
  std::string kind() const override { return "fp8"; }
  std::vector<ProjectionParameter> parameters() const override { return {}; }
  void bind(std::vector<at::Tensor>) override {}
  at::Tensor apply(const at::Tensor& x) const override { return ops::fp8_linear(x, weight_); }
  const ops::Fp8Weight& weight() const { return weight_; }

 private:
  ops::Fp8Weight weight_;
};

}  // namespace deepspeed::nn
