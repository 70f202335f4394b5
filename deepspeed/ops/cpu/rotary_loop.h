// The rotary kernel for any vector type.
#pragma once

#include "deepspeed/ops/cpu/rotary_kernel.h"
#include "deepspeed/ops/cpu/simd_common.h"

namespace deepspeed::ops::cpu {
namespace {

DS_INLINE float read(float x) { return x; }
DS_INLINE float read(uint16_t x) { return bf16_to_float(x); }
DS_INLINE void write(float& to, float x) { to = x; }
DS_INLINE void write(uint16_t& to, float x) { to = float_to_bf16(x); }

template <class T>
DS_INLINE void turn_pair(const RotaryArgs& args, const T* from, T* to, int64_t a, int64_t b, float cos,
                         float sin) {
  const float x = read(from[a]), y = read(from[b]), s = sin * args.sign;
  write(to[a], x * cos - y * s);
  write(to[b], y * cos + x * s);
}

template <class V, class T>
DS_INLINE void turn_row(const RotaryArgs& args, const T* from, T* to, const float* cos, const float* sin) {
  const int64_t half = args.rotary_dim / 2;
  int64_t i = 0;
  if (args.interleaved) {
    for (; i < half; ++i) turn_pair(args, from, to, 2 * i, 2 * i + 1, cos[i], sin[i]);
  } else {
    for (; i + V::kWidth <= half; i += V::kWidth) {
      const auto x = V::load(from + i), y = V::load(from + half + i);
      const auto c = V::load(cos + i), s = V::mul(V::load(sin + i), V::set1(args.sign));
      V::store(to + i, V::sub(V::mul(x, c), V::mul(y, s)));
      V::store(to + half + i, V::fma(y, c, V::mul(x, s)));
    }
    for (; i < half; ++i) turn_pair(args, from, to, i, half + i, cos[i], sin[i]);
  }
  for (int64_t d = args.rotary_dim; d < args.dim; ++d) to[d] = from[d];
}

template <class V, class T>
void rotary_range(const RotaryArgs& args, int64_t begin, int64_t end) {
  const int64_t half = args.rotary_dim / 2;
  for (int64_t item = begin; item < end; ++item) {
    const int64_t b = item / args.length, t = item % args.length;
    const T* from = static_cast<const T*>(args.from) + b * args.from_batch + t * args.from_row;
    T* to = static_cast<T*>(args.to) + b * args.to_batch + t * args.to_row;
    const int64_t row = b * args.table_batch + t * half;
    for (int64_t h = 0; h < args.heads; ++h) {
      turn_row<V>(args, from + h * args.from_head, to + h * args.to_head, args.cos + row, args.sin + row);
    }
  }
}

template <class V>
void rotary(const RotaryArgs& args, int64_t begin, int64_t end) {
  if (args.bf16) return rotary_range<V, uint16_t>(args, begin, end);
  rotary_range<V, float>(args, begin, end);
}

}  // namespace
}  // namespace deepspeed::ops::cpu
