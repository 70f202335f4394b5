// Projections of which a rank holds some columns or rows. What multiplies is another projection, dense or
// packed or quantized.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "deepspeed/comm/group.h"
#include "deepspeed/nn/linear.h"
#include "deepspeed/nn/projection.h"

namespace deepspeed::tensor_parallel {

/// Gives some of the outputs, of inputs that every rank has: no communication but for gradients.
class ColumnParallelProjection : public nn::Projection {
 public:
  ColumnParallelProjection(std::unique_ptr<nn::Projection> inner, comm::GroupPtr group)
      : inner_(std::move(inner)), group_(std::move(group)) {}
  std::string kind() const override { return "column-parallel " + inner_->kind(); }
  std::string torch_class() const override { return inner_->torch_class(); }
  std::vector<nn::ProjectionParameter> parameters() const override { return inner_->parameters(); }
  void bind(std::vector<at::Tensor> tensors) override { inner_->bind(std::move(tensors)); }
  at::Tensor apply(const at::Tensor& x) const override;
  const nn::Projection& inner() const { return *inner_; }
  const comm::GroupPtr& group() const { return group_; }

 private:
  std::unique_ptr<nn::Projection> inner_;
  comm::GroupPtr group_;
};

/// Multiplies some of the inputs and sums the products of all ranks: every rank has all outputs, in the same
/// bits. The bias, which every rank holds, is added once, to the sum.
class RowParallelProjection : public nn::Projection {
 public:
  /// `inner` has no bias. Without `training` a forward that would record gradients is an Error.
  RowParallelProjection(std::unique_ptr<nn::Projection> inner, std::optional<nn::ProjectionParameter> bias,
                        comm::GroupPtr group, bool training)
      : inner_(std::move(inner)),
        bias_parameter_(std::move(bias)),
        group_(std::move(group)),
        training_(training) {}
  std::string kind() const override { return "row-parallel " + inner_->kind(); }
  std::string torch_class() const override { return inner_->torch_class(); }
  std::vector<nn::ProjectionParameter> parameters() const override;
  void bind(std::vector<at::Tensor> tensors) override;
  at::Tensor apply(const at::Tensor& x) const override;
  const nn::Projection& inner() const { return *inner_; }
  const std::optional<nn::ProjectionParameter>& bias_parameter() const { return bias_parameter_; }
  const at::Tensor& bias() const { return bias_; }
  bool training() const { return training_; }
  const comm::GroupPtr& group() const { return group_; }

 private:
  std::unique_ptr<nn::Projection> inner_;
  std::optional<nn::ProjectionParameter> bias_parameter_;
  at::Tensor bias_;
  comm::GroupPtr group_;
  bool training_;
};

/// What multiplies in `linear`, sharded or not.
const nn::Projection& multiplication_of(nn::Linear& linear);

/// Replaces it, by one that is packed, say: of the same sizes, without a bias where the layer is
/// row-parallel. What ranks do together stays, a bias that is added after their sum keeps its value; the new
/// one's own parameters are unmaterialized, as Linear::set_projection leaves them.
void replace_multiplication(nn::Linear& linear, std::unique_ptr<nn::Projection> with);

}  // namespace deepspeed::tensor_parallel
