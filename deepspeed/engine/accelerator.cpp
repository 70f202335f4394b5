#include "deepspeed/engine/accelerator.h"

#include "deepspeed/accel/device.h"
#include "deepspeed/base/error.h"

namespace deepspeed::engine {
namespace {

// The first key that needs what is only built for CPUs; null: there is none.
const char* key_for_cpus_alone(const DeepspeedConfig& config) {
  using zero::Home;
  const zero::ZeroConfig& zero = config.zero;
  const zero::PlusPlusConfig& plus = zero.plus_plus;
  const std::pair<bool, const char*> kKeys[] = {
      {zero.offload_optimizer.device == Home::kNvme, "zero_optimization.offload_optimizer.device \"nvme\""},
      {zero.offload_optimizer.enabled() && zero.offload_optimizer.ratio < 1,
       "zero_optimization.offload_optimizer.ratio below 1"},
      {zero.stage == 3 && zero.offload_param.device != Home::kDevice, "zero_optimization.offload_param"},
      {plus.quantized_weights, "zero_optimization.zero_quantized_weights"},
      {plus.quantized_nontrainable_weights, "zero_optimization.zero_quantized_nontrainable_weights"},
      {plus.quantized_gradients, "zero_optimization.zero_quantized_gradients"},
      {plus.hpz_partition_size > 1, "zero_optimization.zero_hpz_partition_size"},
      {plus.mics_shard_size > 0, "zero_optimization.mics_shard_size"},
      {config.torch_autocast.enabled, "torch_autocast"},
  };
  for (const auto& [asked, key] : kKeys)
    if (asked) return key;
  return nullptr;
}

}  // namespace

comm::GroupPtr accelerated_world(const comm::Rendezvous& rendezvous) {
  const at::Device device = accel::device_of_rank(rendezvous.local_rank);
  return comm::init_world(rendezvous, device.is_cpu() ? comm::Backend::kAuto : comm::Backend::kNccl);
}

void check_accelerator(const DeepspeedConfig& config, at::Device device) {
  if (device.is_cpu()) return;
  const char* key = key_for_cpus_alone(config);
  DS_CHECK(key == nullptr, "not available yet on a GPU: {}; leave it out, or set DS_ACCELERATOR=cpu", key);
}

std::vector<at::Tensor> on_device(std::vector<at::Tensor> batch, at::Device device) {
  if (device.is_cpu()) return batch;
  for (at::Tensor& tensor : batch) tensor = tensor.to(device);
  return batch;
}

}  // namespace deepspeed::engine
