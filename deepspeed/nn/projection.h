// What a Linear multiplies by. Tensor parallelism, quantization, pruning, LoRA and packed inference weights
// replace the projection, never the module around it.
#pragma once

#include <ATen/core/Tensor.h>

#include <string>
#include <vector>

#include "deepspeed/nn/init.h"
#include "deepspeed/ops/linear.h"

namespace deepspeed::nn {

struct ProjectionParameter {
  std::string name;  // "weight", "bias"
  std::vector<int64_t> shape;
  Init init;
};

class Projection {
 public:
  virtual ~Projection() = default;
  virtual std::string kind() const = 0;  // "dense", ...
  /// The class that a PyTorch model would have in this place.
  virtual std::string torch_class() const { return "Linear"; }
  /// The parameters it wants declared in its module, and, once they are, the tensors (same order).
  virtual std::vector<ProjectionParameter> parameters() const = 0;
  virtual void bind(std::vector<at::Tensor> tensors) = 0;
  /// x [..., in_features] -> [..., out_features]. Differentiable.
  virtual at::Tensor apply(const at::Tensor& x) const = 0;
  /// residual + apply(x), of x's type.
  virtual at::Tensor apply_onto(const at::Tensor& residual, const at::Tensor& x) const {
    return residual + apply(x);
  }
  /// Whether that takes no pass of its own over the sum.
  virtual bool adds_residual() const { return false; }
};

using ops::WeightOrder;

struct DenseOptions {
  int64_t in_features = 0, out_features = 0;
  bool bias = true;
  WeightOrder order = WeightOrder::kOutIn;
  Init weight_init = Init::normal(0.02);
  Init bias_init = Init::zeros();
};

class DenseProjection : public Projection {
 public:
  explicit DenseProjection(DenseOptions options) : options_(options) {}
  std::string kind() const override { return "dense"; }
  std::string torch_class() const override {
    return options_.order == WeightOrder::kOutIn ? "Linear" : "Conv1D";
  }
  std::vector<ProjectionParameter> parameters() const override;
  void bind(std::vector<at::Tensor> tensors) override;
  at::Tensor apply(const at::Tensor& x) const override;
  const at::Tensor& weight() const { return weight_; }

 private:
  DenseOptions options_;
  at::Tensor weight_, bias_;
};

}  // namespace deepspeed::nn
