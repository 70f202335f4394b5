// GELU and gated units over flat arrays on raw pointers, once per instruction set. Torch-free.
#pragma once

#include <cstdint>

#include "deepspeed/ops/cpu/element.h"

namespace deepspeed::ops::cpu {

struct GeluForward {
  Element element;
  bool tanh;  // else erf
  const void* x;
  void* y;
};

struct GeluBackward {
  Element element;
  bool tanh;
  const void* x;
  const void* dy;
  void* dx;
};

/// What a gated unit's gate goes through.
enum class Gate { kSilu, kGeluTanh };

struct GatedForward {
  Element element;
  Gate kind;
  const void* gate;
  const void* up;
  void* y;
};

/// dgate or dup may be null: not wanted.
struct GatedBackward {
  Element element;
  Gate kind;
  const void* gate;
  const void* up;
  const void* dy;
  void* dgate;
  void* dup;
};

/// One instruction set's kernels; each works on elements [begin, end).
struct ActivationKernels {
  void (*gelu)(const GeluForward&, int64_t begin, int64_t end);
  void (*gelu_backward)(const GeluBackward&, int64_t begin, int64_t end);
  void (*gated)(const GatedForward&, int64_t begin, int64_t end);
  void (*gated_backward)(const GatedBackward&, int64_t begin, int64_t end);
};

extern const ActivationKernels kActivationScalar, kActivationAvx2, kActivationAvx512;

}  // namespace deepspeed::ops::cpu
