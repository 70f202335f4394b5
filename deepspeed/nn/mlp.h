// The feed-forward half of a layer: up, activation, down; or gated (SwiGLU, GeGLU).
#pragma once

#include <memory>
#include <string>

#include "deepspeed/nn/dropout.h"
#include "deepspeed/nn/linear.h"

namespace deepspeed::nn {

enum class Activation { kGeluTanh, kGeluErf, kRelu, kSwiGlu, kGeGluTanh };

/// Whether it takes two inputs, of which one passes through the function and multiplies the other.
constexpr bool is_gated(Activation activation) {
  return activation == Activation::kSwiGlu || activation == Activation::kGeGluTanh;
}

/// The function alone, element by element; not of those that are gated.
at::Tensor activate(Activation activation, const at::Tensor& x);

struct MlpConfig {
  int64_t hidden = 0, intermediate = 0;
  Activation activation = Activation::kGeluTanh;
  bool bias = false;
  WeightOrder order = WeightOrder::kOutIn;
  Init weight_init, output_init;
  double dropout = 0;  // of what the activation gives
  std::string dropout_site = "mlp.dropout";
};

class Mlp : public BlockModule<Mlp> {
 public:
  /// `rng` may be null where nothing is dropped.
  explicit Mlp(const MlpConfig& config, const RngPtr& rng = nullptr);
  /// x [..., hidden] -> [..., hidden]; the sum of that and `residual`, where there is one.
  at::Tensor compute(const at::Tensor& x, const at::Tensor& residual = {});
  /// Whether that sum takes no pass of its own.
  bool adds_residual() const { return down_->projection().adds_residual(); }

  Activation activation() const { return activation_; }
  /// Puts one projection, hidden -> intermediate with the activation in it, in the place of "up" and, where
  /// there is one, "gate": the module "unit". An Error the second time.
  void fuse_unit(std::unique_ptr<Projection> projection);

 private:
  at::Tensor inner(const at::Tensor& x);

  Activation activation_;
  DropoutSite dropout_;
  std::shared_ptr<Linear> gate_, up_, down_;
  std::shared_ptr<Linear> unit_;  // in the place of gate_ and up_
};

}  // namespace deepspeed::nn
