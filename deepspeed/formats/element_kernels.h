// The loops behind encoding.h, one set for each instruction set. Used by encoding.cpp; raw pointers only.
#pragma once

#include <cstddef>
#include <cstdint>

namespace deepspeed::formats {

/// Each takes that many blocks, or elements, to floats.
struct ElementKernels {
  using Kernel = void (*)(const uint8_t* from, size_t count, float* out);
  Kernel q4_0, q5_0, q8_0, q4_k, q5_k, q6_k, f16, bf16;
};

const ElementKernels& element_kernels_scalar();
const ElementKernels& element_kernels_avx2();

}  // namespace deepspeed::formats
