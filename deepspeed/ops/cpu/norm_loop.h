// The body of norm_{scalar,avx2,avx512}.cpp.
#pragma once

#include "deepspeed/ops/cpu/lanes.h"
#include "deepspeed/ops/cpu/norm_kernel.h"

namespace deepspeed::ops::cpu {
namespace {

// kRms is transformers' RMS norm of LLaMA, which multiplies by its weight in the type of x, and so rounds n
// and g; layer norm and kWideRms are one op.
enum class Norm { kLayer, kRms, kWideRms };

template <class V, Norm kNorm, class T>
DS_INLINE typename V::F scalable(typename V::F x) {
  if constexpr (kNorm == Norm::kRms) return rounded<V, T>(x);
  return x;
}

// Sums of vectors whose additions do not wait for each other.
constexpr int kTurns = 4;
template <class V>
struct Sums {
  using F = typename V::F;
  DS_INLINE F& operator[](int turn) { return parts[turn]; }
  DS_INLINE F all() const { return (parts[0] + parts[1]) + (parts[2] + parts[3]); }
  F parts[kTurns] = {V::set1(0), V::set1(0), V::set1(0), V::set1(0)};
};

/// body(i, turn, part) for each vector of [0, n), turn going round 0 ... kTurns - 1.
template <class V, class Body>
DS_INLINE void for_lanes_in_turn(int64_t n, Body&& body) {
  int64_t i = 0;
  for (; i + kTurns * V::kWidth <= n; i += kTurns * V::kWidth)
    for (int turn = 0; turn < kTurns; ++turn) body(i + turn * V::kWidth, turn, Whole{});
  for_lanes<V>(n - i, [&](int64_t at, auto part) { body(i + at, 0, part); });
}

template <class V, Norm kNorm, class T>
void norm_row(const NormForward& a, int64_t row) {
  using F = typename V::F;
  constexpr bool kCentred = kNorm == Norm::kLayer;
  const T* x = static_cast<const T*>(a.x) + row * a.cols;
  T* y = static_cast<T*>(a.y) + row * a.cols;
  const float cols = static_cast<float>(a.cols);
  float mean = 0;
  if constexpr (kCentred) {
    Sums<V> sum;
    for_lanes_in_turn<V>(
        a.cols, [&](int64_t i, int turn, auto part) { sum[turn] = sum[turn] + load<V>(x + i, part); });
    mean = V::sum(sum.all()) / cols;
  }
  const F centre = V::set1(mean);
  Sums<V> squares;
  for_lanes_in_turn<V>(a.cols, [&](int64_t i, int turn, auto part) {
    const F d = only<V>(load<V>(x + i, part) - centre, part);
    squares[turn] = V::fma(d, d, squares[turn]);
  });
  const float rstd = 1.0f / __builtin_sqrtf(V::sum(squares.all()) / cols + a.eps);
  const F inverse = V::set1(rstd);
  for_lanes<V>(a.cols, [&](int64_t i, auto part) {
    const F normal = scalable<V, kNorm, T>((load<V>(x + i, part) - centre) * inverse);
    const F w = load<V>(a.weight + i, part);
    store<V>(y + i, a.bias ? V::fma(normal, w, load<V>(a.bias + i, part)) : normal * w, part);
  });
  if (kCentred && a.mean) a.mean[row] = mean;
  if (a.rstd) a.rstd[row] = rstd;
}

// With n = (x - mean) rstd and g = dy weight:
//   layer norm: dx = rstd (g - mean(g) - n mean(g n));  RMS norm: dx = rstd (g - n mean(g n)).
template <class V, Norm kNorm, class T>
void norm_backward_row(const NormBackward& a, int64_t row) {
  using F = typename V::F;
  constexpr bool kCentred = kNorm == Norm::kLayer;
  const T* x = static_cast<const T*>(a.x) + row * a.cols;
  const T* dy = static_cast<const T*>(a.dy) + row * a.cols;
  T* dx = a.dx ? static_cast<T*>(a.dx) + row * a.cols : nullptr;
  const F centre = V::set1(kCentred ? a.mean[row] : 0), rstd = V::set1(a.rstd[row]);
  F mean_g = V::set1(0), mean_gn = V::set1(0);
  if (dx) {
    for_lanes<V>(a.cols, [&](int64_t i, auto part) {
      const F n = (load<V>(x + i, part) - centre) * rstd;
      const F g = scalable<V, kNorm, T>(load<V>(dy + i, part) * load<V>(a.weight + i, part));
      if constexpr (kCentred) mean_g = mean_g + g;
      mean_gn = V::fma(g, n, mean_gn);
    });
    const float share = 1.0f / static_cast<float>(a.cols);
    mean_g = V::set1(V::sum(mean_g) * share);
    mean_gn = V::set1(V::sum(mean_gn) * share);
  }
  for_lanes<V>(a.cols, [&](int64_t i, auto part) {
    const F n = (load<V>(x + i, part) - centre) * rstd, d = load<V>(dy + i, part);
    if (a.dweight)
      store<V>(a.dweight + i, V::fma(d, scalable<V, kNorm, T>(n), load<V>(a.dweight + i, part)), part);
    if (a.dbias) store<V>(a.dbias + i, load<V>(a.dbias + i, part) + d, part);
    if (dx) {
      const F g = scalable<V, kNorm, T>(d * load<V>(a.weight + i, part));
      store<V>(dx + i, (g - mean_g - n * mean_gn) * rstd, part);
    }
  });
}

template <class V, Norm kNorm>
void norm_rows(const NormForward& a, int64_t begin, int64_t end) {
  with_element(a.element, [&]<class T>(T*) {
    for (int64_t row = begin; row < end; ++row) norm_row<V, kNorm, T>(a, row);
  });
}

template <class V, Norm kNorm>
void norm_backward_rows(const NormBackward& a, int64_t begin, int64_t end) {
  with_element(a.element, [&]<class T>(T*) {
    for (int64_t row = begin; row < end; ++row) norm_backward_row<V, kNorm, T>(a, row);
  });
}

template <class V>
constexpr NormKernels norm_kernels_of() {
  return {norm_rows<V, Norm::kLayer>,   norm_backward_rows<V, Norm::kLayer>,
          norm_rows<V, Norm::kRms>,     norm_backward_rows<V, Norm::kRms>,
          norm_rows<V, Norm::kWideRms>, norm_backward_rows<V, Norm::kWideRms>};
}

}  // namespace
}  // namespace deepspeed::ops::cpu
