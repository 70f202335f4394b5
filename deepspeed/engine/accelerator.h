// Which device the ranks of a run compute on, and what is available there.
#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

#include "deepspeed/comm/rendezvous.h"
#include "deepspeed/engine/config.h"

namespace deepspeed::engine {

/// The world, over what suits the device that DS_ACCELERATOR gives this rank (accel/device.h): NCCL for a
/// GPU. The engine computes on its group's device. Collective.
comm::GroupPtr accelerated_world(const comm::Rendezvous& rendezvous);

/// base::Error that names the first key of the configuration which is not available on `device` yet.
void check_accelerator(const DeepspeedConfig& config, at::Device device);

/// The batch where the model computes; its tensors stay as they are on a CPU.
std::vector<at::Tensor> on_device(std::vector<at::Tensor> batch, at::Device device);

}  // namespace deepspeed::engine
