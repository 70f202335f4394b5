// Construction allocates nothing: a model lists its parameters, and a Materializer decides which slice of
// which parameter lives where; a ParameterSource (initialisation, or weights from files) fills just that.
//
// An unmaterialized parameter is a CPU tensor with its shape and an empty storage. (libtorch's meta device
// cannot serve: Tensor::set_data refuses to turn a meta tensor into a CPU one, and a parameter must keep its
// identity.)
#pragma once

#include <torch/nn/module.h>

#include <memory>
#include <string>
#include <vector>

#include "deepspeed/nn/init.h"
#include "deepspeed/partition/layout.h"

namespace deepspeed::nn {

struct ParameterSpec {
  std::string name;  // dotted, within the model; the first of its names when tied
  std::vector<int64_t> shape;
  at::ScalarType dtype = at::kFloat;  // what it is to be materialized as
  Init init;
  std::vector<std::string> aliases;  // further names of the same tensor (tied weights)
  at::Tensor tensor;                 // the parameter itself
  int64_t numel() const;
};

/// Every distinct parameter of a model in registration order. Parameters of foreign modules, which libtorch
/// has already allocated and filled, are listed too; is_materialized() tells them apart.
std::vector<ParameterSpec> list_parameters(torch::nn::Module& model);
bool is_materialized(const at::Tensor& parameter);
/// Where a model computes: the device of its first parameter, which what it is given must be on; the CPU
/// without any.
at::Device device_of(const torch::nn::Module& model);
/// The specs as sizes for partition::Layout.
std::vector<partition::ParamSize> sizes_of(const std::vector<ParameterSpec>& specs);

class ParameterSource {
 public:
  virtual ~ParameterSource() = default;
  /// Writes elements [begin, begin + slice.numel()) of the flattened parameter into `slice` (1-D, contiguous,
  /// CPU).
  virtual void fill(const ParameterSpec& spec, int64_t begin, at::Tensor slice) const = 0;
};

/// Initialises by each parameter's rule under a seed.
class InitSource : public ParameterSource {
 public:
  explicit InitSource(uint64_t seed) : seed_(seed) {}
  void fill(const ParameterSpec& spec, int64_t begin, at::Tensor slice) const override;

 private:
  uint64_t seed_;
};

class Materializer {
 public:
  virtual ~Materializer() = default;
  virtual void materialize(const std::vector<ParameterSpec>& specs, const ParameterSource& source) = 0;
};

/// Every parameter whole, on the CPU.
class DenseMaterializer : public Materializer {
 public:
  void materialize(const std::vector<ParameterSpec>& specs, const ParameterSource& source) override;
};

/// Only the pieces that `layout` gives to `rank`, in one shard; the parameters themselves stay
/// unmaterialized.
class ShardMaterializer : public Materializer {
 public:
  ShardMaterializer(partition::Layout layout, int rank, at::ScalarType dtype = at::kFloat);
  void materialize(const std::vector<ParameterSpec>& specs, const ParameterSource& source) override;
  /// [layout.shard_numel()], zero in the padding.
  const at::Tensor& shard() const { return shard_; }

 private:
  partition::Layout layout_;
  int rank_;
  at::Tensor shard_;
};

}  // namespace deepspeed::nn
