// The body of softmax_{scalar,avx2,avx512}.cpp.
#pragma once

#include "deepspeed/ops/cpu/lanes.h"
#include "deepspeed/ops/cpu/lanes_math.h"
#include "deepspeed/ops/cpu/softmax_kernel.h"

namespace deepspeed::ops::cpu {
namespace {

// kVectors neighbouring vectors go down the vocabulary together: whole cache lines, and independent sums.
template <class V, int kVectors, bool kBf16, class Part>
void exp_columns(const ExpBlock& a, int64_t column, Part part) {
  using F = typename V::F;
  F old[kVectors], top[kVectors], sum[kVectors], base[kVectors];
  for (int k = 0; k < kVectors; ++k) top[k] = old[k] = load<V>(a.row_max + column + k * V::kWidth, part);
  for (int64_t v = 0; v < a.vocabulary; ++v)
    for (int k = 0; k < kVectors; ++k) {
      float* p = a.logits + v * a.rows + column + k * V::kWidth;
      F logit = load<V>(p, part);
      if constexpr (kBf16) store<V>(p, logit = rounded<V, uint16_t>(logit), part);
      top[k] = V::max(top[k], logit);
    }
  for (int k = 0; k < kVectors; ++k) {
    // While all logits are -infinity their exponentials are 0, not NaN.
    base[k] = V::max(top[k], V::set1(-3.4e38f));
    sum[k] = load<V>(a.row_sum + column + k * V::kWidth, part) * exp<V>(old[k] - base[k]);
  }
  for (int64_t v = 0; v < a.vocabulary; ++v)
    for (int k = 0; k < kVectors; ++k) {
      float* p = a.logits + v * a.rows + column + k * V::kWidth;
      const F e = exp<V>(load<V>(p, part) - base[k]);
      sum[k] = sum[k] + e;
      store<V>(p, e, part);
    }
  for (int k = 0; k < kVectors; ++k) {
    store<V>(a.row_max + column + k * V::kWidth, top[k], part);
    store<V>(a.block_max + column + k * V::kWidth, top[k], part);
    store<V>(a.row_sum + column + k * V::kWidth, sum[k], part);
  }
}

template <class V, bool kBf16>
void exp_rows_as(const ExpBlock& a, int64_t begin, int64_t end) {
  int64_t column = begin;
  for (; column + 4 * V::kWidth <= end; column += 4 * V::kWidth) exp_columns<V, 4, kBf16>(a, column, Whole{});
  for_lanes<V>(end - column, [&](int64_t i, auto part) { exp_columns<V, 1, kBf16>(a, column + i, part); });
}

template <class V>
void exp_rows(const ExpBlock& a, int64_t begin, int64_t end) {
  a.bf16 ? exp_rows_as<V, true>(a, begin, end) : exp_rows_as<V, false>(a, begin, end);
}

template <class V, int kVectors, class T, class Part>
void scale_columns(const ScaleBlock& a, int64_t column, Part part) {
  using F = typename V::F;
  F factor[kVectors];
  for (int k = 0; k < kVectors; ++k) {
    const int64_t i = column + k * V::kWidth;
    factor[k] = exp<V>(load<V>(a.block_max + i, part) - load<V>(a.row_max + i, part)) *
                load<V>(a.row_scale + i, part);
  }
  for (int64_t v = 0; v < a.vocabulary; ++v)
    for (int k = 0; k < kVectors; ++k) {
      const int64_t i = v * a.rows + column + k * V::kWidth;
      store<V>(static_cast<T*>(a.gradients) + i, load<V>(a.exps + i, part) * factor[k], part);
    }
}

template <class V>
void scale_rows(const ScaleBlock& a, int64_t begin, int64_t end) {
  with_element(a.element, [&]<class T>(T*) {
    int64_t column = begin;
    for (; column + 4 * V::kWidth <= end; column += 4 * V::kWidth) scale_columns<V, 4, T>(a, column, Whole{});
    for_lanes<V>(end - column, [&](int64_t i, auto part) { scale_columns<V, 1, T>(a, column + i, part); });
  });
}

template <class V>
constexpr SoftmaxKernels softmax_kernels_of() {
  return {exp_rows<V>, scale_rows<V>};
}

}  // namespace
}  // namespace deepspeed::ops::cpu
