// The loop that every sum_squares_*.cpp instantiates with its own vector type V, which offers
//   kWidth (a divisor of kSumLanes), Reg (kWidth doubles), zero(), add_square(Reg sum, const T* x),
//   store(double*, Reg)
// with T float, Bf16 or Fp16. V must live in an anonymous namespace, as in adam_loop.h.
#pragma once

#include <cstring>

#include "deepspeed/ops/cpu/sum_squares_kernel.h"

namespace deepspeed::ops::cpu {

struct Bf16 {
  uint16_t bits;
};
struct Fp16 {
  uint16_t bits;
};

template <class V, class T>
double sum_squares_of(const T* x, int64_t n) {
  constexpr int64_t kRegisters = kSumLanes / V::kWidth;
  typename V::Reg sums[kRegisters];
  for (auto& sum : sums) sum = V::zero();
  int64_t i = 0;
  for (; i + kSumLanes <= n; i += kSumLanes)
    for (int64_t r = 0; r < kRegisters; ++r) sums[r] = V::add_square(sums[r], x + i + r * V::kWidth);
  if (i < n) {
    T tail[kSumLanes] = {};
    std::memcpy(tail, x + i, (n - i) * sizeof(T));
    for (int64_t r = 0; r < kRegisters; ++r) sums[r] = V::add_square(sums[r], tail + r * V::kWidth);
  }
  double lanes[kSumLanes], total = 0;
  for (int64_t r = 0; r < kRegisters; ++r) V::store(lanes + r * V::kWidth, sums[r]);
  for (double lane : lanes) total += lane;
  return total;
}

template <class V>
double sum_squares_loop(const void* x, int64_t n, SumFormat format) {
  switch (format) {
    case SumFormat::kBf16:
      return sum_squares_of<V>(static_cast<const Bf16*>(x), n);
    case SumFormat::kFp16:
      return sum_squares_of<V>(static_cast<const Fp16*>(x), n);
    default:
      return sum_squares_of<V>(static_cast<const float*>(x), n);
  }
}

}  // namespace deepspeed::ops::cpu
