// Linear layers by packed weights (ops/packed_weight.h): what inference puts in the place of dense ones.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "deepspeed/nn/materializer.h"
#include "deepspeed/nn/projection.h"
#include "deepspeed/ops/packed_linear.h"

namespace torch::nn {
class Module;
}

namespace deepspeed::nn {

class Linear;

/// Has no parameters; refuses gradients.
class PackedProjection : public Projection {
 public:
  /// `activation` follows the product; a gated weight needs one.
  explicit PackedProjection(ops::PackedWeight weight,
                            ops::PackedActivation activation = ops::PackedActivation::kNone)
      : weight_(std::move(weight)), activation_(activation) {}
  std::string kind() const override { return "packed"; }
  std::vector<ProjectionParameter> parameters() const override { return {}; }
  void bind(std::vector<at::Tensor>) override {}
  at::Tensor apply(const at::Tensor& x) const override;
  at::Tensor apply_onto(const at::Tensor& residual, const at::Tensor& x) const override;
  bool adds_residual() const override { return true; }
  const ops::PackedWeight& weight() const { return weight_; }

 private:
  ops::PackedWeight weight_;
  ops::PackedActivation activation_;
};

/// A Linear's quantized numbers, in the order of its own outputs.
struct StoredLinear {
  ops::WeightCodes codes;
  at::Tensor bias{};                          // undefined: none
  std::optional<ops::PackOptions> weights{};  // how they are stored, where it is not as all others are
};

struct PackLinearsOptions {
  ops::PackOptions weights;
  /// Says which Linears stay as they are, by their dotted names in the model; empty: none.
  std::function<bool(const std::string& name)> keep = {};
  /// Linears that read one input become one product: query, key and value of an Attention; gate and up of an
  /// Mlp, whose activation then follows in the same pass. Their own names are no longer modules.
  bool fuse = true;
  /// Where numbers come from in place of the Linears' own parameters, which then need no memory: those of the
  /// Linear of that name, with so many inputs and, where `biased`, its bias, in `weights`' scheme; nothing
  /// for one that stays as it is.
  std::function<std::optional<StoredLinear>(const std::string& name, int64_t in, bool biased)> stored = {};
  /// Where parameters that have no memory yet are read from, in fp32, panel by panel as they are packed: the
  /// dense weight then never exists. Null: all of them have memory.
  const ParameterSource* source = nullptr;
  /// Where they are multiplied: packed weights go there one by one.
  at::Device device = at::kCPU;
  /// Told of each product, and of the Linears that it stands for, before the next is packed. The product's
  /// numbers may be taken elsewhere by then: tensors keep their shape, not their memory.
  std::function<void(const ops::PackedWeight& weight, const std::vector<std::string>& linears)> packed = {};
};

struct PackedLinears {
  int64_t products = 0;  // packed, fused ones counted once
  int64_t dense_bytes = 0, packed_bytes = 0;
};

/// Rows of a parameter [out, in] as `source` has them; both must outlive it.
ops::RowReader rows_from(const ParameterSource& source, const ParameterSpec& spec);
/// All of it, in fp32.
at::Tensor whole_from(const ParameterSource& source, const ParameterSpec& spec);

/// Replaces the dense projections of a model's Linears, each of which gives its memory back before the next
/// one is packed: beside the model there is at most one layer's worth more. Other kinds of projections stay.
/// What another module still holds (tied weights) stays in memory. The model can then no longer be trained.
PackedLinears pack_linears(torch::nn::Module& model, const PackLinearsOptions& options);

}  // namespace deepspeed::nn
