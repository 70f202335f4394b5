// The feed-forward half of a layer: up, activation, down; or gated (SwiGLU, GeGLU).
#pragma once

#include <memory>

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
};

class Mlp : public BlockModule<Mlp> {
 public:
  explicit Mlp(const MlpConfig& config);
  /// x [..., hidden] -> [..., hidden]
  at::Tensor compute(const at::Tensor& x);

 private:
  Activation activation_;
  std::shared_ptr<Linear> gate_, up_, down_;
};

}  // namespace deepspeed::nn
