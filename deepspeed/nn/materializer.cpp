#include "deepspeed/nn/materializer.h"

#include <ATen/ops/zeros.h>
#include <torch/csrc/autograd/grad_mode.h>

#include <map>
#include <unordered_map>

#include "deepspeed/base/error.h"
#include "deepspeed/nn/block.h"
#include "deepspeed/ops/huge_pages.h"

namespace deepspeed::nn {

int64_t ParameterSpec::numel() const {
  int64_t product = 1;
  for (int64_t size : shape) product *= size;
  return product;
}

at::Device device_of(const torch::nn::Module& model) {
  const std::vector<at::Tensor> parameters = model.parameters();
  return parameters.empty() ? at::Device(at::kCPU) : parameters.front().device();
}

bool is_materialized(const at::Tensor& parameter) {
  return parameter.numel() == 0 || parameter.storage().nbytes() > 0;
}

std::vector<ParameterSpec> list_parameters(torch::nn::Module& model) {
  std::map<std::string, Init> inits;
  for (const auto& [prefix, block] : blocks_of(model))
    for (const auto& [name, init] : block->inits()) inits[prefix.empty() ? name : prefix + "." + name] = init;

  std::vector<ParameterSpec> specs;
  std::unordered_map<const void*, size_t> seen;
  for (const auto& entry : model.named_parameters()) {
    const at::Tensor& tensor = entry.value();
    auto [place, is_new] = seen.emplace(tensor.unsafeGetTensorImpl(), specs.size());
    if (!is_new) {
      specs[place->second].aliases.push_back(entry.key());
      continue;
    }
    auto init = inits.find(entry.key());
    specs.push_back({.name = entry.key(),
                     .shape = tensor.sizes().vec(),
                     .dtype = tensor.scalar_type(),
                     .init = init == inits.end() ? Init{} : init->second,
                     .aliases = {},
                     .tensor = tensor});
  }
  return specs;
}

std::vector<partition::ParamSize> sizes_of(const std::vector<ParameterSpec>& specs) {
  std::vector<partition::ParamSize> sizes;
  for (const auto& spec : specs) sizes.push_back({spec.name, spec.numel()});
  return sizes;
}

void InitSource::fill(const ParameterSpec& spec, int64_t begin, at::Tensor slice) const {
  fill_init(spec.init, accel::parameter_key(seed_, spec.name), begin, std::move(slice));
}

void DenseMaterializer::materialize(const std::vector<ParameterSpec>& specs, const ParameterSource& source) {
  at::NoGradGuard no_grad;
  for (const auto& spec : specs) {
    at::Tensor whole = ops::empty_huge({spec.numel()}, spec.dtype);
    source.fill(spec, 0, whole);
    at::Tensor parameter = spec.tensor;
    parameter.set_data(whole.view(spec.shape));
  }
}

ShardMaterializer::ShardMaterializer(partition::Layout layout, int rank, at::ScalarType dtype)
    : layout_(std::move(layout)), rank_(rank), shard_(at::zeros({layout_.shard_numel()}, dtype)) {}

void ShardMaterializer::materialize(const std::vector<ParameterSpec>& specs, const ParameterSource& source) {
  DS_CHECK(specs.size() == layout_.params().size(), "the layout was made for {} parameters, the model has {}",
           layout_.params().size(), specs.size());
  for (const auto& piece : layout_.pieces(rank_))
    source.fill(specs[piece.param], piece.begin, shard_.narrow(0, piece.shard_offset, piece.count));
}

}  // namespace deepspeed::nn
