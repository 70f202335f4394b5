#include "deepspeed/nn/norm.h"

#include "deepspeed/ops/layer_norm.h"
#include "deepspeed/ops/rms_norm.h"

namespace deepspeed::nn {

Norm::Norm(NormKind kind, int64_t width, double eps) : kind_(kind), eps_(eps) {
  weight_ = declare_parameter("weight", {width}, Init::ones());
  if (kind == NormKind::kLayerNorm) bias_ = declare_parameter("bias", {width}, Init::zeros());
}

at::Tensor Norm::compute(const at::Tensor& x) {
  return kind_ == NormKind::kLayerNorm ? ops::layer_norm(x, weight_, bias_, eps_)
                                       : ops::rms_norm(x, weight_, eps_);
}

}  // namespace deepspeed::nn
