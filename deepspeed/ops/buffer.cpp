#include "deepspeed/ops/buffer.h"

#include <ATen/ops/empty.h>

#include "deepspeed/ops/huge_pages.h"

namespace deepspeed::ops {

at::Tensor empty_buffer(at::IntArrayRef sizes, at::ScalarType type, at::Device device) {
  if (device.is_cpu()) return empty_huge(sizes, type);
  return at::empty(sizes, at::TensorOptions(type).device(device));
}

}  // namespace deepspeed::ops
