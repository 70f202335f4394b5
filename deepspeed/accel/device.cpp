#include "deepspeed/accel/device.h"

#include <ATen/Context.h>
#include <ATen/DeviceAccelerator.h>

#include "deepspeed/base/env.h"
#include "deepspeed/base/error.h"

namespace deepspeed::accel {

int device_count() { return at::hasCUDA() ? at::accelerator::deviceCount() : 0; }

at::Device device_of_rank(int local_rank) {
  const std::string name = base::env("DS_ACCELERATOR").value_or("");
  const int count = device_count();
  if (name == "cpu" || (name.empty() && count == 0)) return at::kCPU;
  DS_CHECK(name.empty() || name == "cuda", "DS_ACCELERATOR='{}' is not an accelerator here; use cpu or cuda",
           name);
  DS_CHECK(
      at::globalContext().hasCUDART(),
      "not available yet: DS_ACCELERATOR=cuda in a build without CUDA; build the cuda preset or use cpu");
  DS_CHECK(count > 0,
           "DS_ACCELERATOR=cuda, but this process sees no GPU (driver, CUDA_VISIBLE_DEVICES): set "
           "DS_ACCELERATOR=cpu to use the CPU");
  DS_CHECK(local_rank < count, "local rank {} has no GPU of its own: this process sees {}", local_rank,
           count);
  return {at::kCUDA, static_cast<c10::DeviceIndex>(local_rank)};
}

int64_t peak_device_bytes(at::Device device) {
  if (device.is_cpu()) return 0;
  const auto stats = at::accelerator::getDeviceStats(device.index());
  constexpr auto kAll = static_cast<size_t>(c10::CachingAllocator::StatType::AGGREGATE);
  return stats.allocated_bytes[kAll].peak;
}

void synchronize(at::Device device) {
  if (!device.is_cpu()) at::accelerator::synchronizeDevice(device.index());
}

}  // namespace deepspeed::accel
