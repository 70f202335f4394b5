#include "deepspeed/inference/weight_loader.h"

namespace deepspeed::inference {

WeightLoader::WeightLoader(torch::nn::Module& model, const nn::ParameterSource& source, at::ScalarType type,
                           at::Device device)
    : source_(source), device_(device) {
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
  if (!device_.is_cpu()) at::Tensor(parameter).set_data(parameter.detach().to(device_));
}

}  // namespace deepspeed::inference
