#include "deepspeed/zero/buffer_pool.h"

#include "deepspeed/ops/buffer.h"

namespace deepspeed::zero {

at::Tensor BufferPool::take(int64_t bytes) {
  // A buffer that is more than half again as large is left for something larger.
  const auto fitting = idle_.lower_bound(bytes);
  at::Tensor buffer;
  if (fitting != idle_.end() && fitting->first <= bytes + bytes / 2) {
    buffer = std::move(fitting->second);
    idle_.erase(fitting);
  } else {
    buffer = ops::empty_buffer({bytes}, at::kByte, device_);
  }
  in_use_ += buffer.numel();
  return buffer;
}

void BufferPool::give_back(at::Tensor buffer) {
  in_use_ -= buffer.numel();
  idle_.emplace(buffer.numel(), std::move(buffer));
}

int64_t BufferPool::bytes_idle() const {
  int64_t total = 0;
  for (const auto& [bytes, buffer] : idle_) total += bytes;
  return total;
}

}  // namespace deepspeed::zero
