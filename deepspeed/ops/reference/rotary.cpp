#include <ATen/ATen.h>

#include "deepspeed/ops/reference/attention.h"

namespace deepspeed::ops::reference {

at::Tensor rotary(const at::Tensor& x, int64_t position_offset, const RotaryOptions& options) {
  const int64_t d = options.rotary_dim == 0 ? x.size(3) : options.rotary_dim, half = d / 2;
  const at::Tensor frequency =
      at::pow(options.theta, at::arange(0, d, 2, at::kDouble) / -static_cast<double>(d));
  const at::Tensor position = at::arange(position_offset, position_offset + x.size(2), at::kDouble);
  const at::Tensor angle = position.unsqueeze(1) * frequency.unsqueeze(0);
  const at::Tensor whole = options.interleaved ? angle.repeat_interleave(2, 1) : at::cat({angle, angle}, 1);
  const at::Tensor turned = x.narrow(3, 0, d).to(at::kDouble);
  at::Tensor crossed;
  if (options.interleaved) {
    const at::Tensor pairs = turned.unflatten(3, {half, 2});
    crossed = at::stack({-pairs.select(4, 1), pairs.select(4, 0)}, 4).flatten(3);
  } else {
    crossed = at::cat({-turned.narrow(3, half, half), turned.narrow(3, 0, half)}, 3);
  }
  const at::Tensor head = (turned * whole.cos() + crossed * whole.sin()).to(x.scalar_type());
  return at::cat({head, x.narrow(3, d, x.size(3) - d)}, 3);
}

}  // namespace deepspeed::ops::reference
