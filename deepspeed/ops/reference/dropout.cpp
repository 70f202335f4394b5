#include <ATen/ATen.h>

#include "deepspeed/ops/reference/attention.h"

namespace deepspeed::ops::reference {

at::Tensor dropout(const at::Tensor& x, double p, accel::RngKey key) {
  at::Tensor mask = at::empty({x.numel()}, at::kFloat);
  auto element = mask.accessor<float, 1>();
  for (int64_t i = 0; i < x.numel(); ++i) {
    element[i] = accel::uniform(key, static_cast<uint64_t>(i)) >= p ? static_cast<float>(1 / (1 - p)) : 0.0f;
  }
  if (p == 1) mask.zero_();
  return (x.to(at::kFloat) * mask.view(x.sizes())).to(x.scalar_type());
}

}  // namespace deepspeed::ops::reference
