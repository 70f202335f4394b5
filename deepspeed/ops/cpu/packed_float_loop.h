// Packed fp32 and bf16 weights times rows of fp32, for packed_loop.h.
#pragma once

#include "deepspeed/ops/cpu/packed_finish.h"

namespace deepspeed::ops::cpu {
namespace {

template <class V>
constexpr int kPanelVectors = static_cast<int>(kPanel) / V::kWidth;

/// V has beside its lanes: pair(p, even, odd), the fp32 numbers of kWidth pairs of bf16; kFloatRows, how many
/// rows are multiplied at once.
template <class V, PackedScheme kScheme, int kRows>
void float_rows(const PackedProduct& p, int64_t row, int64_t pair) {
  using F = typename V::F;
  constexpr int kVectors = 2 * kPanelVectors<V>, kHalf = kPanelVectors<V>;
  const PackedFormat& f = p.format;
  const uint8_t* left = p.codes + 2 * pair * f.panel_bytes();
  const uint8_t* right = left + f.panel_bytes();
  const float* x[kRows];
  for (int r = 0; r < kRows; ++r) x[r] = p.x + (row + r) * p.x_stride;
  F sum[kRows][kVectors];
  for (int r = 0; r < kRows; ++r)
    for (int v = 0; v < kVectors; ++v) sum[r][v] = V::set1(0);
  if constexpr (kScheme == PackedScheme::kFp32) {
    const float *a = reinterpret_cast<const float*>(left), *b = reinterpret_cast<const float*>(right);
    for (int64_t k = 0; k < f.in; ++k) {
      F w[kVectors];
      for (int v = 0; v < kHalf; ++v) {
        w[v] = V::load(a + k * kPanel + v * V::kWidth);
        w[kHalf + v] = V::load(b + k * kPanel + v * V::kWidth);
      }
      for (int r = 0; r < kRows; ++r) {
        const F xk = V::set1(x[r][k]);
        for (int v = 0; v < kVectors; ++v) sum[r][v] = V::fma(xk, w[v], sum[r][v]);
      }
    }
  } else {
    const uint16_t *a = reinterpret_cast<const uint16_t*>(left),
                   *b = reinterpret_cast<const uint16_t*>(right);
    for (int64_t k = 0; k < f.in; k += 2)
      for (int v = 0; v < kVectors; ++v) {
        F even, odd;
        const uint16_t* from =
            v < kHalf ? a + k * kPanel + v * 2 * V::kWidth : b + k * kPanel + (v - kHalf) * 2 * V::kWidth;
        V::pair(from, even, odd);
        for (int r = 0; r < kRows; ++r)
          sum[r][v] = V::fma(V::set1(x[r][k + 1]), odd, V::fma(V::set1(x[r][k]), even, sum[r][v]));
      }
  }
  alignas(64) float sums[kRows * 2 * kPanel];
  for (int r = 0; r < kRows; ++r)
    for (int v = 0; v < kVectors; ++v) V::store(sums + r * 2 * kPanel + v * V::kWidth, sum[r][v]);
  finish<V>(p, row, kRows, pair, sums);
}

/// kMost rows at a time, then the rest at once.
template <class Rows, int kMost>
struct RowSteps {
  static void all(const PackedProduct& p, int64_t unit) {
    int64_t row = 0;
    for (; row + kMost <= p.rows; row += kMost) Rows::template run<kMost>(p, row, unit);
    rest<kMost - 1>(p, row, unit);
  }

 private:
  template <int kCount>
  static void rest(const PackedProduct& p, int64_t row, int64_t unit) {
    if constexpr (kCount > 0) {
      if (p.rows - row == kCount) return Rows::template run<kCount>(p, row, unit);
      rest<kCount - 1>(p, row, unit);
    }
  }
};

template <class V, PackedScheme kScheme>
struct FloatRows {
  template <int kRows>
  static void run(const PackedProduct& p, int64_t row, int64_t pair) {
    float_rows<V, kScheme, kRows>(p, row, pair);
  }
};

template <class V, PackedScheme kScheme>
void float_multiply(const PackedProduct& p, int64_t begin, int64_t end) {
  for (int64_t pair = begin; pair < end; ++pair) RowSteps<FloatRows<V, kScheme>, V::kFloatRows>::all(p, pair);
}

}  // namespace
}  // namespace deepspeed::ops::cpu
