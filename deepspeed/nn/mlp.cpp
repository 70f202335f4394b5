#include "deepspeed/nn/mlp.h"

#include <ATen/ops/relu.h>

#include "deepspeed/ops/gelu.h"
#include "deepspeed/ops/swiglu.h"

namespace deepspeed::nn {

Mlp::Mlp(const MlpConfig& c) : activation_(c.activation) {
  auto linear = [&](const char* name, int64_t in, int64_t out, Init init) {
    return register_module(name, std::make_shared<Linear>(DenseOptions{in, out, c.bias, c.order, init}));
  };
  if (activation_ == Activation::kSwiGlu) gate_ = linear("gate", c.hidden, c.intermediate, c.weight_init);
  up_ = linear("up", c.hidden, c.intermediate, c.weight_init);
  down_ = linear("down", c.intermediate, c.hidden, c.output_init);
}

at::Tensor Mlp::compute(const at::Tensor& x) {
  switch (activation_) {
    case Activation::kSwiGlu:
      return down_->forward(ops::swiglu(gate_->forward(x), up_->forward(x)));
    case Activation::kGeluTanh:
      return down_->forward(ops::gelu(up_->forward(x), ops::GeluKind::kTanh));
    case Activation::kGeluErf:
      return down_->forward(ops::gelu(up_->forward(x), ops::GeluKind::kErf));
    case Activation::kRelu:
      return down_->forward(at::relu(up_->forward(x)));
  }
  return {};
}

}  // namespace deepspeed::nn
