#include "deepspeed/zero/host_side.h"

#include <ATen/ops/zeros.h>

namespace deepspeed::zero {

std::shared_ptr<HostSide> HostSide::where_wanted(const OffloadOptimizerConfig& config, at::Device device) {
  return config.device == Home::kCpu && !device.is_cpu() ? std::make_shared<HostSide>(device) : nullptr;
}

at::Tensor HostSide::memory(int64_t numel, at::ScalarType dtype) {
  return at::zeros({numel}, at::TensorOptions(dtype).pinned_memory(true));
}

void HostSide::fetch(const at::Tensor& host, const at::Tensor& values, bool add) {
  if (values.numel() == 0) return;
  stream_.follow();
  stream_.keeps(values);
  const auto on_side = stream_.enter();
  at::Tensor sum = values.scalar_type() == host.scalar_type() ? values : values.to(host.scalar_type());
  if (add) sum = host.to(values.device(), /*non_blocking=*/true).add_(sum);
  at::Tensor(host).copy_(sum, /*non_blocking=*/true);
}

void HostSide::give(const at::Tensor& target, const at::Tensor& host) {
  if (target.numel() == 0) return;
  stream_.follow();
  stream_.keeps(target);
  const auto on_side = stream_.enter();
  at::Tensor(target).copy_(host, /*non_blocking=*/true);
}

}  // namespace deepspeed::zero
