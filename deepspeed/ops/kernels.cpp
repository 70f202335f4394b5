#include "deepspeed/ops/kernels.h"

#include <ATen/ATen.h>

#include "deepspeed/base/error.h"
#include "deepspeed/ops/device_kernels.h"

namespace deepspeed::ops {

cpu::Element checked_element(const char* op, const char* argument, const at::Tensor& t) {
  DS_CHECK(t.defined(), "{}: {} is undefined", op, argument);
  DS_CHECK(t.device().is_cpu(), "{}: {} is on {}, and this op has kernels for CPU tensors only", op, argument,
           t.device().str());
  return element_of(op, argument, t);
}

cpu::Element element_of(const char* op, const char* argument, const at::Tensor& t) {
  DS_CHECK(t.defined(), "{}: {} is undefined", op, argument);
  switch (t.scalar_type()) {
    case at::kFloat:
      return cpu::Element::kFp32;
    case at::kBFloat16:
      return cpu::Element::kBf16;
    case at::kHalf:
      return cpu::Element::kFp16;
    default:
      base::fail("{}: {} is of type {}; convert it to float, bfloat16 or half", op, argument,
                 c10::toString(t.scalar_type()));
  }
}

void check_vector(const char* op, const char* argument, const at::Tensor& t, int64_t size) {
  checked_element(op, argument, t);
  DS_CHECK(t.dim() == 1 && t.size(0) == size, "{}: {} must have shape [{}], it has [{}]", op, argument, size,
           fmt::join(t.sizes(), ", "));
}

void refuse_second_derivative(const char* op) {
  DS_CHECK(!at::GradMode::is_enabled(), "{}: has no second derivative; run backward without create_graph",
           op);
}

bool wants_grad(std::initializer_list<std::reference_wrapper<const at::Tensor>> inputs) {
  if (!at::GradMode::is_enabled()) return false;
  for (const at::Tensor& t : inputs)
    if (t.defined() && t.requires_grad()) return true;
  return false;
}

at::Tensor as_fp32(const at::Tensor& t) { return t.to(at::kFloat).contiguous(); }

}  // namespace deepspeed::ops
