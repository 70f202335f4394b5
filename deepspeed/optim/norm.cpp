#include "deepspeed/optim/norm.h"

#include <algorithm>
#include <cmath>

#include "deepspeed/base/error.h"
#include "deepspeed/ops/sum_squares.h"

namespace deepspeed::optim {

NormResult& NormResult::operator+=(const NormResult& other) {
  sum_squares += other.sum_squares;
  finite = finite && other.finite;
  return *this;
}

NormResult norm_squared(const at::Tensor& grad) {
  if (!grad.defined() || grad.numel() == 0) return {};
  const double sum = ops::sum_squares(grad);
  return {sum, std::isfinite(sum)};
}

double clip_factor(double norm, double max_norm, double loss_scale) {
  DS_CHECK(max_norm >= 0 && loss_scale > 0,
           "clip_factor: max_norm {} must not be negative and loss_scale {} positive", max_norm, loss_scale);
  if (max_norm == 0) return 1 / loss_scale;
  const double excess = (norm / loss_scale + 1e-6) / max_norm;
  return 1 / (loss_scale * std::max(1.0, excess));
}

}  // namespace deepspeed::optim
