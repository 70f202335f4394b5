#include <torch/csrc/distributed/c10d/ProcessGroupNCCL.hpp>

#include <c10/cuda/CUDAGuard.h>

#include "deepspeed/comm/backends.h"

namespace deepspeed::comm {

Connect connect_nccl(int device) {
  return
      [device](const StorePtr& store, int rank, int size, std::chrono::milliseconds timeout) -> BackendPtr {
        const c10::cuda::CUDAGuard guard(static_cast<c10::DeviceIndex>(device));
        auto options = c10d::ProcessGroupNCCL::Options::create();
        options->timeout = timeout;
        auto backend = c10::make_intrusive<c10d::ProcessGroupNCCL>(store, rank, size, options);
        backend->setBoundDeviceId(at::Device(at::kCUDA, static_cast<c10::DeviceIndex>(device)));
        return backend;
      };
}

}  // namespace deepspeed::comm
