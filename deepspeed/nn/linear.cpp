#include "deepspeed/nn/linear.h"

namespace deepspeed::nn {

void Linear::set_projection(std::unique_ptr<Projection> projection) {
  if (projection_) {
    for (const auto& old : projection_->parameters()) {
      forget_parameter(old.name);
      parameters_.erase(old.name);
    }
  }
  projection_ = std::move(projection);
  std::vector<at::Tensor> tensors;
  for (const auto& wanted : projection_->parameters())
    tensors.push_back(declare_parameter(wanted.name, wanted.shape, wanted.init));
  projection_->bind(std::move(tensors));
}

Embedding::Embedding(int64_t count, int64_t width, Init init, int64_t padding, ops::TableGradient gradient)
    : padding_(padding), gradient_(gradient) {
  if (padding >= 0) init = init.with_zeros(padding * width, (padding + 1) * width);
  weight_ = declare_parameter("weight", {count, width}, init);
}

void Embedding::replace_table(Lookup lookup) {
  lookup_ = std::move(lookup);
  forget_parameter("weight");
  parameters_.erase("weight");
  weight_ = at::Tensor();
}

at::Tensor Embedding::compute(const at::Tensor& ids) {
  if (lookup_) return lookup_(weight_, ids);
  return ops::embedding(weight_, ids, padding_, gradient_);
}

}  // namespace deepspeed::nn
