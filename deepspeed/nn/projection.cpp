#include "deepspeed/nn/projection.h"

#include "deepspeed/base/error.h"

namespace deepspeed::nn {

std::vector<ProjectionParameter> DenseProjection::parameters() const {
  std::vector<int64_t> shape = {options_.out_features, options_.in_features};
  if (options_.order == WeightOrder::kInOut) std::swap(shape[0], shape[1]);
  std::vector<ProjectionParameter> list = {{"weight", shape, options_.weight_init}};
  if (options_.bias) list.push_back({"bias", {options_.out_features}, options_.bias_init});
  return list;
}

void DenseProjection::bind(std::vector<at::Tensor> tensors) {
  weight_ = tensors.at(0);
  if (options_.bias) bias_ = tensors.at(1);
}

at::Tensor DenseProjection::apply(const at::Tensor& x) const {
  DS_CHECK(x.size(-1) == options_.in_features, "a linear layer of {} inputs was given {}",
           options_.in_features, x.size(-1));
  return ops::linear(x, weight_, options_.bias ? std::optional(bias_) : std::nullopt, options_.order);
}

}  // namespace deepspeed::nn
