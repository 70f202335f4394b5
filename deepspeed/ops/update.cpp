#include "deepspeed/ops/update.h"

#include <algorithm>

#include "deepspeed/base/error.h"
#include "deepspeed/ops/device_kernels.h"
#include "deepspeed/ops/kernels.h"
#include "deepspeed/ops/parallel.h"

namespace deepspeed::ops {
namespace {

using cpu::Element;

// Threads meet only at multiples of this, so that no two write one cache line of an aligned buffer.
constexpr int64_t kBlock = 4096;
constexpr int64_t kBlocksPerThread = 8;
// A copy of this many elements or more has left a core's own caches before anyone reads it, and storing it
// there would read its lines first.
constexpr int64_t kStreamedCopy = int64_t{1} << 19;

Element checked(const char* op, const char* name, const at::Tensor& t, const at::Tensor& param) {
  const Element element = element_of(op, name, t);
  DS_CHECK(t.device() == param.device(), "{}: {} is on {}, param on {}", op, name, t.device().str(),
           param.device().str());
  DS_CHECK(t.is_contiguous(), "{}: {} must be contiguous", op, name);
  DS_CHECK(t.numel() == param.numel(), "{}: {} has {} elements, param has {}", op, name, t.numel(),
           param.numel());
  return element;
}

void check_states(const UpdateTensors& t, cpu::UpdateBuffers& b) {
  for (size_t k = 0; k < t.states.size() && t.states[k].name; ++k) {
    const auto& [name, state] = t.states[k];
    b.state_type = checked(t.op, name, state, t.param);
    DS_CHECK(state.scalar_type() == t.states[0].tensor.scalar_type(), "{}: {} is of type {}, {} of {}", t.op,
             name, c10::toString(state.scalar_type()), t.states[0].name,
             c10::toString(t.states[0].tensor.scalar_type()));
    DS_CHECK(b.state_type == Element::kFp32 || b.state_type == b.param_type ||
                 (b.state_type == Element::kBf16 && b.param_type == Element::kFp32),
             "{}: {} cannot be of type {} where param is of type {}", t.op, name,
             c10::toString(state.scalar_type()), c10::toString(t.param.scalar_type()));
    b.states[k] = state.data_ptr();
  }
}

}  // namespace

cpu::UpdateBuffers checked_buffers(const UpdateTensors& t) {
  cpu::UpdateBuffers b{};
  DS_CHECK(t.param.defined(), "{}: param is undefined", t.op);
  const int64_t n = t.param.numel();
  b.param_type = checked(t.op, "param", t.param, t.param);
  b.grad_type = checked(t.op, "grad", t.grad, t.param);
  b.param = t.param.data_ptr();
  b.grad = t.grad.const_data_ptr();
  check_states(t, b);
  if (!t.low_precision_copy.defined()) return b;
  b.copy_type = checked(t.op, "low_precision_copy", t.low_precision_copy, t.param);
  DS_CHECK(b.copy_type != Element::kFp32 && b.param_type == Element::kFp32,
           "{}: low_precision_copy cannot be of type {} where param is of type {}", t.op,
           c10::toString(t.low_precision_copy.scalar_type()), c10::toString(t.param.scalar_type()));
  b.copy = t.low_precision_copy.data_ptr();
  b.stream_copy = n >= kStreamedCopy;
  return b;
}

void run_update(const UpdateTensors& tensors,
                c10::function_ref<void(const cpu::UpdateBuffers&, int64_t begin, int64_t end)> body) {
  const cpu::UpdateBuffers buffers = checked_buffers(tensors);
  DS_CHECK(tensors.param.is_cpu(),
           "{}: param is on {}, and this order of operations has a kernel for the CPU only", tensors.op,
           tensors.param.device().str());
  const int64_t n = tensors.param.numel(), blocks = (n + kBlock - 1) / kBlock;
  parallel_ranges(blocks, kBlocksPerThread, [&](int64_t begin, int64_t end) {
    body(buffers, begin * kBlock, std::min(end * kBlock, n));
  });
}

}  // namespace deepspeed::ops
