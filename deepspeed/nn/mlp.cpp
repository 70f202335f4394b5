#include "deepspeed/nn/mlp.h"

#include <ATen/ops/relu.h>

#include "deepspeed/base/error.h"
#include "deepspeed/ops/dropout.h"
#include "deepspeed/ops/gelu.h"
#include "deepspeed/ops/swiglu.h"

namespace deepspeed::nn {

at::Tensor activate(Activation activation, const at::Tensor& x) {
  switch (activation) {
    case Activation::kGeluTanh:
      return ops::gelu(x, ops::GeluKind::kTanh);
    case Activation::kGeluErf:
      return ops::gelu(x, ops::GeluKind::kErf);
    case Activation::kRelu:
      return at::relu(x);
    case Activation::kSwiGlu:
    case Activation::kGeGluTanh:
      break;
  }
  base::fail("a gated activation takes two inputs");
}

Mlp::Mlp(const MlpConfig& c, const RngPtr& rng)
    : activation_(c.activation), dropout_(c.dropout, rng, c.dropout_site) {
  auto linear = [&](const char* name, int64_t in, int64_t out, Init init) {
    return register_module(name, std::make_shared<Linear>(DenseOptions{in, out, c.bias, c.order, init}));
  };
  if (is_gated(activation_)) gate_ = linear("gate", c.hidden, c.intermediate, c.weight_init);
  up_ = linear("up", c.hidden, c.intermediate, c.weight_init);
  down_ = linear("down", c.intermediate, c.hidden, c.output_init);
}

void Mlp::fuse_unit(std::unique_ptr<Projection> projection) {
  DS_CHECK(!unit_, "mlp: its gate and up are one projection already");
  if (gate_) unregister_module("gate");
  unregister_module("up");
  gate_ = up_ = nullptr;
  unit_ = register_module("unit", std::make_shared<Linear>(std::move(projection)));
}

at::Tensor Mlp::inner(const at::Tensor& x) {
  if (unit_) return unit_->forward(x);
  if (gate_) {
    const auto unit = activation_ == Activation::kSwiGlu ? ops::swiglu : ops::geglu;
    const at::Tensor gate = gate_->forward(x);  // first, whatever order a compiler gives arguments
    return unit(gate, up_->forward(x));
  }
  return activate(activation_, up_->forward(x));
}

at::Tensor Mlp::compute(const at::Tensor& x, const at::Tensor& residual) {
  return down_->forward(ops::dropout(inner(x), dropout_.p(is_training()), dropout_.key()), residual);
}

}  // namespace deepspeed::nn
