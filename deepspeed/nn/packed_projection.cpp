#include "deepspeed/nn/packed_projection.h"

#include <ATen/ATen.h>
#include <torch/nn/module.h>

#include <algorithm>
#include <initializer_list>
#include <map>
#include <memory>
#include <vector>

#include "deepspeed/base/error.h"
#include "deepspeed/nn/attention.h"
#include "deepspeed/nn/linear.h"
#include "deepspeed/nn/mlp.h"
#include "deepspeed/ops/huge_pages.h"

namespace deepspeed::nn {
namespace {

bool is_dense(Linear& linear) { return linear.projection().kind() == "dense"; }

// What one Linear contributes to a product: its own tensors, what is stored of it, or where it is read from.
struct Part {
  at::Tensor weight, bias;  // bias undefined: none
  ops::WeightOrder order;
  std::optional<StoredLinear> stored{};
  ops::RowReader rows{};  // of a weight without memory
  std::string name{};

  int64_t outputs() const { return weight.size(order == ops::WeightOrder::kOutIn ? 0 : 1); }
  int64_t inputs() const { return weight.size(order == ops::WeightOrder::kOutIn ? 1 : 0); }
};

Part part_of(Linear& linear) {
  const auto parameters = linear.named_parameters(/*recurse=*/false);
  const at::Tensor* bias = parameters.find("bias");
  return {.weight = parameters["weight"].detach(),
          .bias = bias ? bias->detach() : at::Tensor(),
          .order = linear.projection().torch_class() == "Conv1D" ? ops::WeightOrder::kInOut
                                                                 : ops::WeightOrder::kOutIn};
}

int64_t bytes_of(const at::Tensor& t) { return t.defined() ? static_cast<int64_t>(t.nbytes()) : 0; }

// The biases one after the other, zeros where a part has none; undefined where no part has one.
at::Tensor joined_bias(const std::vector<Part>& parts) {
  std::vector<at::Tensor> biases;
  bool any = false;
  for (const Part& p : parts) {
    const at::Tensor& bias = p.stored ? p.stored->bias : p.bias;
    any = any || bias.defined();
    biases.push_back(bias.defined() ? bias.to(at::kFloat) : at::zeros({p.outputs()}, at::kFloat));
  }
  return any ? at::cat(biases) : at::Tensor();
}

// The parts' rows one after the other.
ops::RowReader joined_rows(const std::vector<Part>& parts) {
  if (parts.size() == 1) return parts[0].rows;
  return [&parts](int64_t begin, int64_t count, float* to) {
    for (const Part& p : parts) {
      const int64_t now = std::min(count, p.outputs() - begin);
      if (now > 0) {
        p.rows(begin, now, to);
        to += now * p.inputs();
        begin += now;
        count -= now;
      }
      begin -= p.outputs();
    }
  };
}

ops::PackedWeight pack(const std::vector<Part>& parts, const ops::PackOptions& options) {
  const at::Tensor bias = joined_bias(parts);
  const auto given = bias.defined() ? std::optional(bias) : std::nullopt;
  const auto all = [&](auto&& of, int64_t dimension) {
    std::vector<at::Tensor> tensors;
    for (const Part& p : parts) tensors.push_back(of(p));
    return tensors.size() == 1 ? tensors[0] : at::cat(tensors, dimension);
  };
  if (parts[0].stored)
    return ops::PackedWeight::from_codes(
        {all([](const Part& p) { return p.stored->codes.codes; }, 0),
         all([](const Part& p) { return p.stored->codes.scales; }, 0),
         options.asymmetric ? all([](const Part& p) { return p.stored->codes.shifts; }, 0) : at::Tensor()},
        options, given);
  if (parts[0].rows) {
    int64_t outputs = 0;
    for (const Part& p : parts) outputs += p.outputs();
    return ops::PackedWeight::pack(outputs, parts[0].inputs(), joined_rows(parts), options, given);
  }
  const ops::WeightOrder order = parts[0].order;
  return ops::PackedWeight::pack(
      all([](const Part& p) { return p.weight; }, order == ops::WeightOrder::kOutIn ? 0 : 1), options, order,
      given);
}

class Packer {
 public:
  Packer(torch::nn::Module& model, const PackLinearsOptions& options) : options_(options) {
    if (options.source == nullptr) return;
    for (ParameterSpec& spec : list_parameters(model)) {
      const void* key = spec.tensor.unsafeGetTensorImpl();
      specs_.emplace(key, std::move(spec));
    }
  }

  void visit(const std::string& name, torch::nn::Module& module) {
    if (auto* attention = dynamic_cast<Attention*>(&module);
        attention != nullptr && attention->fuses_qkv() && options_.fuse)
      if (auto packed = product(name, module, {"query", "key", "value"}))
        attention->fuse_qkv(std::move(packed));
    if (auto* mlp = dynamic_cast<Mlp*>(&module); mlp != nullptr && options_.fuse) {
      const bool gated = is_gated(mlp->activation());
      auto packed = gated ? product(name, module, {"gate", "up"}, mlp->activation())
                          : product(name, module, {"up"}, mlp->activation());
      if (packed) mlp->fuse_unit(std::move(packed));
    }
    if (auto* linear = dynamic_cast<Linear*>(&module)) {
      std::vector<Part> parts;
      if (add_part(name, *linear, parts)) {
        const ops::PackOptions weights = form_of(parts[0]);
        linear->set_projection(packed(std::move(parts), weights, ops::PackedActivation::kNone));
      }
    }
    for (const auto& child : module.named_children())
      visit(name.empty() ? child.key() : name + "." + child.key(), *child.value());
  }

  PackedLinears done;

 private:
  // False where the Linear is to stay as it is.
  bool add_part(const std::string& name, Linear& linear, std::vector<Part>& parts) const {
    if (!is_dense(linear) || (options_.keep && options_.keep(name))) return false;
    Part part = part_of(linear);
    part.name = name;
    if (options_.stored) {
      part.stored = options_.stored(name, part.inputs(), part.bias.defined());
      if (!part.stored) return false;
    } else if (!is_materialized(part.weight)) {
      DS_CHECK(options_.source != nullptr,
               "'{}' cannot be packed: its weight has no memory yet; materialize the model first", name);
      read_from_source(linear, part);
    }
    parts.push_back(std::move(part));
    return true;
  }

  void read_from_source(Linear& linear, Part& part) const {
    const auto parameters = linear.named_parameters(/*recurse=*/false);
    const auto spec_of = [&](const char* name) -> const ParameterSpec& {
      return specs_.at(parameters[name].unsafeGetTensorImpl());
    };
    if (part.order == ops::WeightOrder::kOutIn)
      part.rows = rows_from(*options_.source, spec_of("weight"));
    else
      part.weight = whole_from(*options_.source, spec_of("weight"));
    if (part.bias.defined()) part.bias = whole_from(*options_.source, spec_of("bias"));
  }

  // Each of the parts has the scales that are asked for.
  static ops::PackOptions grouped(ops::PackOptions weights, const std::vector<Part>& parts) {
    if (weights.least_scales == 0) return weights;
    const auto smallest = std::min_element(
        parts.begin(), parts.end(), [](const Part& a, const Part& b) { return a.outputs() < b.outputs(); });
    ops::PackOptions alone = weights;
    alone.gated = false;
    weights.group = ops::format_of(alone, smallest->outputs(), smallest->inputs()).group;
    weights.least_scales = 0;
    return weights;
  }
  const ops::PackOptions& form_of(const Part& part) const {
    return part.stored && part.stored->weights ? *part.stored->weights : options_.weights;
  }
  bool differ(const Part& a, const Part& b) const {
    const ops::PackOptions &one = form_of(a), &other = form_of(b);
    return one.scheme != other.scheme || one.group != other.group || one.asymmetric != other.asymmetric;
  }

  // The children of these names as one product; null unless all are there to be packed in one form.
  std::unique_ptr<Projection> product(const std::string& name, torch::nn::Module& module,
                                      std::initializer_list<const char*> children,
                                      std::optional<Activation> activation = std::nullopt) {
    std::vector<Part> parts;
    const auto found = module.named_children();
    for (const char* child : children) {
      const auto* there = found.find(child);
      auto* linear = there ? dynamic_cast<Linear*>(there->get()) : nullptr;
      const std::string full = name.empty() ? child : name + "." + child;
      if (linear == nullptr || !add_part(full, *linear, parts)) return nullptr;
    }
    if (std::any_of(parts.begin(), parts.end(), [&](const Part& part) { return differ(part, parts[0]); }))
      return nullptr;
    ops::PackOptions weights = form_of(parts[0]);
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

  std::unique_ptr<Projection> packed(std::vector<Part> parts, const ops::PackOptions& weights,
                                     ops::PackedActivation activation) {
    for (const Part& p : parts) done.dense_bytes += bytes_of(p.weight) + bytes_of(p.bias);
    const ops::PackedWeight weight = pack(parts, grouped(weights, parts)).to(options_.device);
    done.packed_bytes += weight.bytes();
    ++done.products;
    if (options_.packed) {
      std::vector<std::string> names;
      for (const Part& p : parts) names.push_back(p.name);
      options_.packed(weight, names);
    }
    return std::make_unique<PackedProjection>(weight, activation);
  }

  const PackLinearsOptions& options_;
  std::map<const void*, ParameterSpec> specs_;  // by the parameter's identity
};

}  // namespace

at::Tensor PackedProjection::apply(const at::Tensor& x) const {
  return ops::packed_linear(x, weight_, {activation_, {}});
}

at::Tensor PackedProjection::apply_onto(const at::Tensor& residual, const at::Tensor& x) const {
  return ops::packed_linear(x, weight_, {activation_, residual});
}

ops::RowReader rows_from(const ParameterSource& source, const ParameterSpec& spec) {
  return [&source, &spec, width = spec.shape.at(1)](int64_t begin, int64_t count, float* to) {
    const at::NoGradGuard no_grad;  // on a compute thread
    source.fill(spec, begin * width, at::from_blob(to, {count * width}, at::kFloat));
  };
}

at::Tensor whole_from(const ParameterSource& source, const ParameterSpec& spec) {
  at::Tensor whole = ops::empty_huge({spec.numel()}, at::kFloat);
  source.fill(spec, 0, whole);
  return whole.view(spec.shape);
}

PackedLinears pack_linears(torch::nn::Module& model, const PackLinearsOptions& options) {
  Packer packer(model, options);
  packer.visit("", model);
  return packer.done;
}

}  // namespace deepspeed::nn
