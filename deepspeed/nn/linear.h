// Linear and Embedding: Blocks around a replaceable projection or table.
#pragma once

#include <functional>
#include <memory>

#include "deepspeed/nn/block.h"
#include "deepspeed/nn/projection.h"
#include "deepspeed/ops/embedding.h"

namespace deepspeed::nn {

class Linear : public BlockModule<Linear> {
 public:
  explicit Linear(DenseOptions options) : Linear(std::make_unique<DenseProjection>(options)) {}
  explicit Linear(std::unique_ptr<Projection> projection) { set_projection(std::move(projection)); }

  /// x [..., in] -> [..., out]; the sum of that and `residual`, where there is one.
  at::Tensor compute(const at::Tensor& x, const at::Tensor& residual = {}) {
    return residual.defined() ? projection_->apply_onto(residual, x) : projection_->apply(x);
  }

  std::vector<TorchLayer> torch_layers() const override {
    return {{projection_->torch_class(), parameters(/*recurse=*/false)}};
  }
  Projection& projection() { return *projection_; }
  /// Replaces what is multiplied by; the old parameters leave the module, the new ones are declared
  /// (unmaterialized).
  void set_projection(std::unique_ptr<Projection> projection);

 private:
  std::unique_ptr<Projection> projection_;
};

class Embedding : public BlockModule<Embedding> {
 public:
  /// A table of `count` rows of `width`. The row `padding`, if not negative, starts as zero and gets no
  /// gradient from its lookups, as in torch.nn.Embedding.
  Embedding(int64_t count, int64_t width, Init init, int64_t padding = -1,
            ops::TableGradient gradient = ops::TableGradient::kDense);

  /// ids (int64, any shape) -> [..., width]. The ids must lie in [0, count).
  at::Tensor compute(const at::Tensor& ids);
  const at::Tensor& weight() const { return weight_; }

  /// (table, ids) -> [..., width]: how rows are found where the table does not hold all of them.
  using Lookup = std::function<at::Tensor(const at::Tensor& table, const at::Tensor& ids)>;
  void set_lookup(Lookup lookup) { lookup_ = std::move(lookup); }
  /// The same where rows come from elsewhere altogether: the table is no parameter any more, and `table` is
  /// undefined.
  void replace_table(Lookup lookup);

 private:
  Lookup lookup_;
  int64_t padding_;
  ops::TableGradient gradient_;
  at::Tensor weight_;
};

}  // namespace deepspeed::nn
