#include "deepspeed/accel/tensor_memory.h"

#include <c10/core/Allocator.h>
#include <c10/util/ThreadLocalDebugInfo.h>

#include <algorithm>
#include <atomic>

namespace deepspeed::accel {

// libtorch asks the thread's profiler state, which autograd hands on to the threads of a backward.
class TensorMemory::Counter : public c10::MemoryReportingInfoBase {
 public:
  void reportMemoryUsage(void*, int64_t size, size_t, size_t, c10::Device) override {
    const int64_t now = bytes_.fetch_add(size) + size;
    int64_t peak = peak_.load();
    while (now > peak && !peak_.compare_exchange_weak(peak, now)) {
    }
  }
  bool memoryProfilingEnabled() const override { return true; }

  int64_t bytes() const { return bytes_; }
  int64_t peak() const { return peak_; }

 private:
  std::atomic<int64_t> bytes_ = 0, peak_ = 0;
};

struct TensorMemory::Guard {
  explicit Guard(std::shared_ptr<Counter> counter)
      : installed(c10::DebugInfoKind::PROFILER_STATE, std::move(counter)) {}
  c10::DebugInfoGuard installed;
};

TensorMemory::TensorMemory()
    : counter_(std::make_shared<Counter>()), guard_(std::make_unique<Guard>(counter_)) {}

TensorMemory::~TensorMemory() = default;

int64_t TensorMemory::bytes() const { return counter_->bytes(); }

int64_t TensorMemory::peak_bytes() const { return counter_->peak(); }

}  // namespace deepspeed::accel
