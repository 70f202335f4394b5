// From at::Tensor to the kernels on raw pointers: checks that the fused ops share, and the choice of
// instruction set.
#pragma once

#include <ATen/core/Tensor.h>

#include <functional>
#include <initializer_list>

#include "deepspeed/base/cpu_features.h"
#include "deepspeed/ops/cpu/element.h"

namespace deepspeed::ops {

/// The element type of a defined CPU tensor of fp32, bf16 or fp16; an Error naming op and argument otherwise.
cpu::Element checked_element(const char* op, const char* argument, const at::Tensor& t);

/// An Error unless `t` has one dimension of `size`.
void check_vector(const char* op, const char* argument, const at::Tensor& t, int64_t size);

/// For the start of a backward: an Error when its result would itself have to be differentiated.
void refuse_second_derivative(const char* op);

/// Whether a call with these inputs (undefined ones do not count) has to keep anything for backward.
bool wants_grad(std::initializer_list<std::reference_wrapper<const at::Tensor>> inputs);

/// A contiguous fp32 version of `t`, which is `t` itself where it is one already.
at::Tensor as_fp32(const at::Tensor& t);

/// The table of an instruction set, or of the best one below it.
template <class Kernels>
const Kernels& kernels_for(base::Isa isa, const Kernels& scalar, const Kernels& avx2, const Kernels& avx512) {
  if (isa >= base::Isa::kAvx512) return avx512;
  return isa >= base::Isa::kAvx2 ? avx2 : scalar;
}

}  // namespace deepspeed::ops
