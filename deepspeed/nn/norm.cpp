#include "deepspeed/nn/norm.h"

#include "deepspeed/ops/layer_norm.h"
#include "deepspeed/ops/rms_norm.h"

namespace deepspeed::nn {

Norm::Norm(NormKind kind, int64_t width, double eps) : kind_(kind), eps_(eps) {
  weight_ =
      declare_parameter("weight", {width}, kind == NormKind::kRmsNormFromOne ? Init::zeros() : Init::ones());
  if (kind == NormKind::kLayerNorm) bias_ = declare_parameter("bias", {width}, Init::zeros());
}

at::Tensor Norm::compute(const at::Tensor& x) {
  if (kind_ == NormKind::kLayerNorm) return ops::layer_norm(x, weight_, bias_, eps_);
  return ops::rms_norm(x, weight_, eps_,
                       kind_ == NormKind::kRmsNorm ? ops::RmsWeight::kPlain : ops::RmsWeight::kFromOne);
}

}  // namespace deepspeed::nn
