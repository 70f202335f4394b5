#include "deepspeed/nn/packed_projection.h"

#include <ATen/ATen.h>
#include <torch/nn/module.h>

#include <algorithm>
#include <initializer_list>
#include <memory>

#include "deepspeed/base/error.h"
#include "deepspeed/nn/attention.h"
#include "deepspeed/nn/linear.h"
#include "deepspeed/nn/mlp.h"

namespace deepspeed::nn {
namespace {

bool is_dense(Linear& linear) { return linear.projection().kind() == "dense"; }

struct Dense {
  at::Tensor weight, bias;  // bias undefined: none
  ops::WeightOrder order;
};

Dense dense_of(const std::string& name, Linear& linear) {
  const auto parameters = linear.named_parameters(/*recurse=*/false);
  const at::Tensor weight = parameters["weight"].detach();
  DS_CHECK(weight.storage().nbytes() > 0,
           "'{}' cannot be packed: its weight has no memory yet; materialize the "
           "model first",
           name);
  const at::Tensor* bias = parameters.find("bias");
  return {
      weight, bias ? bias->detach() : at::Tensor(),
      linear.projection().torch_class() == "Conv1D" ? ops::WeightOrder::kInOut : ops::WeightOrder::kOutIn};
}

int64_t bytes_of(const at::Tensor& t) { return t.defined() ? static_cast<int64_t>(t.nbytes()) : 0; }

/// Several weights of one input as one; a missing bias counts as zeros where another has one.
Dense joined(const std::vector<Dense>& parts) {
  if (parts.size() == 1) return parts[0];
  const bool out_in = parts[0].order == ops::WeightOrder::kOutIn;
  std::vector<at::Tensor> weights, biases;
  const bool biased =
      std::any_of(parts.begin(), parts.end(), [](const Dense& d) { return d.bias.defined(); });
  for (const Dense& d : parts) {
    weights.push_back(d.weight);
    if (biased)
      biases.push_back(d.bias.defined() ? d.bias
                                        : at::zeros({d.weight.size(out_in ? 0 : 1)}, d.weight.options()));
  }
  return {at::cat(weights, out_in ? 0 : 1), biased ? at::cat(biases) : at::Tensor(), parts[0].order};
}

class Packer {
 public:
  explicit Packer(const PackLinearsOptions& options) : options_(options) {}

  void visit(const std::string& name, torch::nn::Module& module) {
    if (auto* attention = dynamic_cast<Attention*>(&module); attention != nullptr && options_.fuse)
      if (auto packed = product(name, module, {"query", "key", "value"}))
        attention->fuse_qkv(std::move(packed));
    if (auto* mlp = dynamic_cast<Mlp*>(&module); mlp != nullptr && options_.fuse) {
      const bool gated = is_gated(mlp->activation());
      auto packed = gated ? product(name, module, {"gate", "up"}, mlp->activation())
                          : product(name, module, {"up"}, mlp->activation());
      if (packed) mlp->fuse_unit(std::move(packed));
    }
    if (auto* linear = dynamic_cast<Linear*>(&module); linear != nullptr && wanted(name, *linear))
      linear->set_projection(
          packed({dense_of(name, *linear)}, options_.weights, ops::PackedActivation::kNone));
    for (const auto& child : module.named_children())
      visit(name.empty() ? child.key() : name + "." + child.key(), *child.value());
  }

  PackedLinears done;

 private:
  bool wanted(const std::string& name, Linear& linear) const {
    return is_dense(linear) && !(options_.keep && options_.keep(name));
  }

  // The children of these names as one product; null unless all are there to be packed.
  std::unique_ptr<Projection> product(const std::string& name, torch::nn::Module& module,
                                      std::initializer_list<const char*> children,
                                      std::optional<Activation> activation = std::nullopt) {
    std::vector<Dense> parts;
    const auto found = module.named_children();
    for (const char* child : children) {
      const auto* there = found.find(child);
      auto* linear = there ? dynamic_cast<Linear*>(there->get()) : nullptr;
      const std::string full = name.empty() ? child : name + "." + child;
      if (linear == nullptr || !wanted(full, *linear)) return nullptr;
      parts.push_back(dense_of(full, *linear));
    }
    ops::PackOptions weights = options_.weights;
    weights.gated = activation && is_gated(*activation);
    return packed(std::move(parts), weights,
                  activation ? packed_activation(*activation) : ops::PackedActivation::kNone);
  }

  static ops::PackedActivation packed_activation(Activation activation) {
    switch (activation) {
      case Activation::kGeluTanh:
      case Activation::kGeGluTanh:
        return ops::PackedActivation::kGeluTanh;
      case Activation::kGeluErf:
        return ops::PackedActivation::kGeluErf;
      case Activation::kRelu:
        return ops::PackedActivation::kRelu;
      case Activation::kSwiGlu:
        return ops::PackedActivation::kSilu;
    }
    base::fail("unknown activation");
  }

  std::unique_ptr<Projection> packed(std::vector<Dense> parts, const ops::PackOptions& weights,
                                     ops::PackedActivation activation) {
    for (const Dense& d : parts) done.dense_bytes += bytes_of(d.weight) + bytes_of(d.bias);
    const Dense all = joined(parts);
    ops::PackedWeight weight = ops::PackedWeight::pack(
        all.weight, weights, all.order, all.bias.defined() ? std::optional(all.bias) : std::nullopt);
    done.packed_bytes += weight.bytes();
    ++done.products;
    return std::make_unique<PackedProjection>(std::move(weight), activation);
  }

  const PackLinearsOptions& options_;
};

}  // namespace

at::Tensor PackedProjection::apply(const at::Tensor& x) const {
  return ops::packed_linear(x, weight_, {activation_, {}});
}

PackedLinears pack_linears(torch::nn::Module& model, const PackLinearsOptions& options) {
  Packer packer(options);
  packer.visit("", model);
  return packer.done;
}

}  // namespace deepspeed::nn
