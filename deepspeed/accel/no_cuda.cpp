#include "deepspeed/accel/native_device.h"
#include "deepspeed/base/error.h"

namespace deepspeed::accel {

void* native_stream(at::Device device) {
  base::fail("{} has no stream in this build: build the cuda preset", device.str());
}

int compute_capability(at::Device) { return 0; }

}  // namespace deepspeed::accel
