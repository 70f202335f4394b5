#include "deepspeed/accel/native_device.h"

#include <ATen/cuda/CUDAContext.h>
#include <c10/cuda/CUDAStream.h>

namespace deepspeed::accel {

void* native_stream(at::Device device) { return c10::cuda::getCurrentCUDAStream(device.index()).stream(); }

int compute_capability(at::Device device) {
  if (!device.is_cuda()) return 0;
  const auto* properties = at::cuda::getDeviceProperties(device.index());
  return 10 * properties->major + properties->minor;
}

}  // namespace deepspeed::accel
