// The feed-forward half of a layer: up, activation, down; or gated (SwiGLU).
#pragma once

#include <memory>

#include "deepspeed/nn/linear.h"

namespace deepspeed::nn {

enum class Activation { kGeluTanh, kGeluErf, kRelu, kSwiGlu };

/// The function alone, element by element; not of kSwiGlu, which takes two inputs.
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
