// What an optimizer's kernels see of one update. Torch-free.
#pragma once

#include <cstdint>

#include "deepspeed/ops/cpu/element.h"

namespace deepspeed::ops::cpu {

/// Arrays of one length.
struct UpdateBuffers {
  void* param;
  const void* grad;
  void* states[2];  // as many as the rule has
  void* copy;       // null, or 16-bit numbers that receive the new parameter
  Element param_type, grad_type, state_type, copy_type;
  bool stream_copy;  // write the copy past the caches
};

/// Updates elements [begin, end).
template <class Constants>
using UpdateKernel = void (*)(const UpdateBuffers& buffers, int64_t begin, int64_t end,
                              const Constants& constants);

}  // namespace deepspeed::ops::cpu
