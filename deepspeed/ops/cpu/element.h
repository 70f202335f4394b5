// The storage types that kernels on raw pointers read and write. Torch-free, and free of anything to link.
#pragma once

#include <cstdint>

namespace deepspeed::ops::cpu {

enum class Element { kFp32, kBf16, kFp16 };

/// An IEEE half. A bare uint16_t is a bfloat16, as simd_*.h has it.
struct Fp16 {
  uint16_t bits;
};

}  // namespace deepspeed::ops::cpu
