// Rotary embedding on raw pointers, once per instruction set. Torch-free.
#pragma once

#include <cstdint>

namespace deepspeed::ops::cpu {

struct RotaryArgs {
  const void* from;
  void* to;
  int64_t heads, length, dim, rotary_dim;
  int64_t from_batch, from_head, from_row, to_batch, to_head,
      to_row;              // strides in elements, the last one is 1
  const float *cos, *sin;  // [length, rotary_dim / 2]
  float sign;              // -1 turns backwards
  bool interleaved, bf16;
  int64_t table_batch;  // stride of a batch row's own cos and sin; 0: the same for all
};

/// Items [begin, end) of batch * length.
using RotaryKernel = void (*)(const RotaryArgs& args, int64_t begin, int64_t end);
void rotary_scalar(const RotaryArgs& args, int64_t begin, int64_t end);
void rotary_avx2(const RotaryArgs& args, int64_t begin, int64_t end);
void rotary_avx512(const RotaryArgs& args, int64_t begin, int64_t end);

}  // namespace deepspeed::ops::cpu
