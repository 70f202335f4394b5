#include "deepspeed/accel/native_stream.h"

#include <c10/cuda/CUDAStream.h>

namespace deepspeed::accel {

void* native_stream(at::Device device) { return c10::cuda::getCurrentCUDAStream(device.index()).stream(); }

}  // namespace deepspeed::accel
