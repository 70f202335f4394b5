#include "deepspeed/inference/weight_loader.h"

#include <fmt/format.h>

#include "deepspeed/zero/streamed_tensors.h"

namespace deepspeed::inference {

WeightLoader::WeightLoader(torch::nn::Module& model, const nn::ParameterSource& source, at::ScalarType type)
    : source_(source) {
  for (nn::ParameterSpec& spec : nn::list_parameters(model)) {
    spec.dtype = type;
    names_.emplace(spec.tensor.unsafeGetTensorImpl(), spec.name);
    specs_.emplace(spec.name, std::move(spec));
  }
}

const nn::ParameterSpec& WeightLoader::spec(const at::Tensor& parameter) const {
  return specs_.at(names_.at(parameter.unsafeGetTensorImpl()));
}

void WeightLoader::load(const at::Tensor& parameter) const {
  if (nn::is_materialized(parameter)) return;
  nn::DenseMaterializer().materialize({spec(parameter)}, source_);
}

void WeightLoader::load(nn::Linear& linear) const {
  for (const at::Tensor& parameter : linear.parameters(/*recurse=*/false)) load(parameter);
}

void WeightLoader::drop(const std::string& linear) const {
  for (const char* name : {".weight", ".bias"})
    if (const auto found = specs_.find(fmt::format("{}{}", linear, name)); found != specs_.end())
      zero::drop_memory(found->second.tensor);
}

}  // namespace deepspeed::inference
