// Layer norm and RMS norms as Blocks over the fused ops.
#pragma once

#include "deepspeed/nn/block.h"

namespace deepspeed::nn {

/// kRmsNormFromOne multiplies by 1 + weight (ops::RmsWeight::kFromOne); its weights start at 0.
enum class NormKind { kLayerNorm, kRmsNorm, kRmsNormFromOne };

/// One class for all, since an architecture names its norm as a value. Parameters: weight [width] and, for
/// layer norm, bias [width].
class Norm : public BlockModule<Norm> {
 public:
  Norm(NormKind kind, int64_t width, double eps);
  /// x [..., width] -> same shape.
  at::Tensor compute(const at::Tensor& x);
  std::vector<TorchLayer> torch_layers() const override {
    return {{kind_ == NormKind::kLayerNorm ? "LayerNorm" : "RMSNorm", parameters(/*recurse=*/false)}};
  }

 private:
  NormKind kind_;
  double eps_;
  at::Tensor weight_, bias_;
};

}  // namespace deepspeed::nn
