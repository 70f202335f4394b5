// What the tests of the norms, activations and the cross-entropy share.
#pragma once

#include <ATen/ATen.h>
#include <torch/csrc/autograd/autograd.h>

#include <algorithm>
#include <string>
#include <vector>

#include "deepspeed/base/cpu_features.h"

namespace deepspeed::ops::testing_support {

/// The instruction sets with kernels here that this processor runs.
inline std::vector<base::Isa> runnable_isas() {
  std::vector<base::Isa> isas;
  for (base::Isa isa : {base::Isa::kScalar, base::Isa::kAvx2, base::Isa::kAvx512})
    if (base::best_isa({isa}) == isa) isas.push_back(isa);
  return isas;
}

/// Normal numbers rounded to `type`: the same for the same seed.
inline at::Tensor values(at::IntArrayRef sizes, at::ScalarType type = at::kFloat, double scale = 1,
                         uint64_t seed = 1) {
  const at::Generator generator = at::detail::createCPUGenerator(seed);
  return (at::randn(sizes, generator, at::TensorOptions().dtype(at::kDouble)) * scale).to(type);
}

/// The largest |a - b| / (1 + |b|), infinite where only one of them is NaN.
inline double error(const at::Tensor& a, const at::Tensor& b) {
  if (a.numel() == 0) return 0;
  const at::Tensor x = a.detach().to(at::kDouble), y = b.detach().to(at::kDouble);
  const at::Tensor same = at::logical_or(x == y, at::logical_and(x.isnan(), y.isnan()));
  const at::Tensor off = at::where(same, at::zeros_like(x), (x - y).abs() / (y.abs() + 1));
  return off.nan_to_num(INFINITY, INFINITY).max().item<double>();
}

/// What one rounding to `type` costs, and a little fp32 arithmetic.
inline double tolerance(at::ScalarType type) {
  return type == at::kBFloat16 ? 4.1e-3 : type == at::kHalf ? 6e-4 : 3e-6;
}

inline std::vector<at::Tensor> gradients(const at::Tensor& y, const std::vector<at::Tensor>& inputs,
                                         const at::Tensor& dy) {
  return torch::autograd::grad({y}, inputs, {dy});
}

inline at::Tensor leaf(const at::Tensor& t) { return t.detach().clone().requires_grad_(); }

}  // namespace deepspeed::ops::testing_support
