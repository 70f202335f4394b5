#include "deepspeed/tensor_parallel/projections.h"

#include "deepspeed/base/error.h"
#include "deepspeed/tensor_parallel/joint.h"

namespace deepspeed::tensor_parallel {

at::Tensor ColumnParallelProjection::apply(const at::Tensor& x) const {
  return inner_->apply(enter(x, group_));
}

std::vector<nn::ProjectionParameter> RowParallelProjection::parameters() const {
  std::vector<nn::ProjectionParameter> list = inner_->parameters();
  if (bias_parameter_) list.push_back(*bias_parameter_);
  return list;
}

void RowParallelProjection::bind(std::vector<at::Tensor> tensors) {
  if (bias_parameter_) {
    bias_ = tensors.back();
    tensors.pop_back();
  }
  inner_->bind(std::move(tensors));
}

at::Tensor RowParallelProjection::apply(const at::Tensor& x) const {
  const at::Tensor part = inner_->apply(x);
  DS_CHECK(training_ || !at::GradMode::is_enabled() || !part.requires_grad(),
           "this model was sharded without Options::training: gradients are not recorded over its ranks");
  const at::Tensor whole = sum(part, group_);
  return bias_.defined() ? whole + bias_ : whole;
}

const nn::Projection& multiplication_of(nn::Linear& linear) {
  const nn::Projection& all = linear.projection();
  if (const auto* columns = dynamic_cast<const ColumnParallelProjection*>(&all)) return columns->inner();
  if (const auto* rows = dynamic_cast<const RowParallelProjection*>(&all)) return rows->inner();
  return all;
}

void replace_multiplication(nn::Linear& linear, std::unique_ptr<nn::Projection> with) {
  const nn::Projection& all = linear.projection();
  if (const auto* columns = dynamic_cast<const ColumnParallelProjection*>(&all)) {
    linear.set_projection(std::make_unique<ColumnParallelProjection>(std::move(with), columns->group()));
  } else if (const auto* rows = dynamic_cast<const RowParallelProjection*>(&all)) {
    const at::Tensor bias = rows->bias();
    auto made = std::make_unique<RowParallelProjection>(std::move(with), rows->bias_parameter(),
                                                        rows->group(), rows->training());
    const RowParallelProjection& now = *made;
    linear.set_projection(std::move(made));
    if (bias.defined()) at::Tensor(now.bias()).set_data(bias.detach());
  } else {
    linear.set_projection(std::move(with));
  }
}

}  // namespace deepspeed::tensor_parallel
