#include "deepspeed/zero/buffer_pool.h"

#include <iterator>

#include "deepspeed/ops/buffer.h"

namespace deepspeed::zero {

at::Tensor BufferPool::take(int64_t bytes) {
  // A buffer that is more than half again as large is left for something larger.
  const auto fitting = idle_.lower_bound(bytes);
  at::Tensor buffer;
  if (fitting != idle_.end() && fitting->first <= bytes + bytes / 2) {
    // The last that came back, so that those which are not needed wait.
    const auto last = std::prev(idle_.upper_bound(fitting->first));
    buffer = std::move(last->second.buffer);
    idle_.erase(last);
  } else {
    buffer = ops::empty_buffer({bytes}, at::kByte, device_);
  }
  in_use_ += buffer.numel();
  return buffer;
}

void BufferPool::give_back(at::Tensor buffer) {
  const int64_t bytes = buffer.numel();
  in_use_ -= bytes;
  idle_.emplace(bytes, Idle{std::move(buffer), round_});
}

void BufferPool::end_round() {
  std::erase_if(idle_, [this](const auto& entry) { return entry.second.since < round_; });
  ++round_;
}

int64_t BufferPool::bytes_idle() const {
  int64_t total = 0;
  for (const auto& [bytes, idle] : idle_) total += bytes;
  return total;
}

}  // namespace deepspeed::zero
