// What follows the sums of a packed product: bias, activation, gate, residual, rounding.
#pragma once

#include "deepspeed/ops/cpu/activation_loop.h"
#include "deepspeed/ops/cpu/packed_kernel.h"

namespace deepspeed::ops::cpu {
namespace {

template <class V>
struct Unchanged {
  static DS_INLINE typename V::F value(typename V::F x) { return x; }
};
template <class V>
struct Relu {
  // The second operand where either is NaN.
  static DS_INLINE typename V::F value(typename V::F x) { return V::max(V::set1(0), x); }
};

template <class V, class Act, class T>
DS_INLINE void finish_row(const PackedProduct& p, int64_t row, int64_t pair, const float* sums) {
  const PackedFormat& f = p.format;
  const int64_t width = f.gated ? f.out / 2 : f.out, step = f.gated ? kPanel : 2 * kPanel;
  const int64_t column = pair * step;
  const float* bias = p.bias ? p.bias + pair * 2 * kPanel : nullptr;
  const T* residual =
      p.residual ? static_cast<const T*>(p.residual) + row * p.residual_stride + column : nullptr;
  T* out = static_cast<T*>(p.out) + row * p.out_stride + column;
  for_lanes<V>(min64(step, width - column), [&](int64_t i, auto part) {
    const auto sum = [&](int64_t at) {
      return bias ? V::load(sums + at) + V::load(bias + at) : V::load(sums + at);
    };
    typename V::F y = Act::value(sum(i));
    if (f.gated) y = y * sum(i + kPanel);
    if (residual) y = y + load<V>(residual + i, part);
    store<V>(out + i, y, part);
  });
}

template <class V, class T>
void finish_as(const PackedProduct& p, int64_t row, int64_t rows, int64_t pair, const float* sums) {
  const auto each = [&]<class Act>(Act*) {
    for (int64_t r = 0; r < rows; ++r) finish_row<V, Act, T>(p, row + r, pair, sums + r * 2 * kPanel);
  };
  switch (p.activation) {
    case PackedActivation::kNone:
      return each(static_cast<Unchanged<V>*>(nullptr));
    case PackedActivation::kGeluTanh:
      return each(static_cast<GeluTanh<V, float>*>(nullptr));
    case PackedActivation::kGeluErf:
      return each(static_cast<GeluErf<V, T>*>(nullptr));
    case PackedActivation::kSilu:
      return each(static_cast<Silu<V, float>*>(nullptr));
    case PackedActivation::kRelu:
      return each(static_cast<Relu<V>*>(nullptr));
  }
}

/// Rows row ... row + rows - 1 of a pair of panels, from their sums [rows][32].
template <class V>
void finish(const PackedProduct& p, int64_t row, int64_t rows, int64_t pair, const float* sums) {
  p.element == Element::kFp32 ? finish_as<V, float>(p, row, rows, pair, sums)
                              : finish_as<V, uint16_t>(p, row, rows, pair, sums);
}

}  // namespace
}  // namespace deepspeed::ops::cpu
