// Small float matrix products on packed operands, for kernels that multiply tiles which live in cache. C += A
// B or C = A B; A is read element by element (either order), B and C row by row in whole vectors, so their
// columns are padded.
#pragma once

#include "deepspeed/ops/cpu/simd_common.h"

namespace deepspeed::ops::cpu {
namespace {

constexpr int kTileRows = 6;

enum class Left { kNormal, kTransposed };  // A(i, k) is a[i * lda + k] or a[k * lda + i]
enum class Into { kSet, kAdd };

/// An operand: its first element and the distance of its rows.
struct Rows {
  float* data;
  int64_t stride;
};

template <class V, Left kLeft, Into kInto, int kM, int kN>
void gemm_registers(int64_t depth, Rows a, Rows b, Rows c) {
  typename V::F sum[kM][kN];
#pragma GCC unroll 8
  for (int i = 0; i < kM; ++i) {
#pragma GCC unroll 8
    for (int j = 0; j < kN; ++j) {
      sum[i][j] = kInto == Into::kAdd ? V::load(c.data + i * c.stride + j * V::kWidth) : V::set1(0);
    }
  }
  const int64_t step_i = kLeft == Left::kNormal ? a.stride : 1,
                step_k = kLeft == Left::kNormal ? 1 : a.stride;
  const float *pa = a.data, *pb = b.data;
  for (int64_t k = 0; k < depth; ++k, pa += step_k, pb += b.stride) {
    typename V::F right[kN];
#pragma GCC unroll 8
    for (int j = 0; j < kN; ++j) right[j] = V::load(pb + j * V::kWidth);
#pragma GCC unroll 8
    for (int i = 0; i < kM; ++i) {
      const typename V::F left = V::set1(pa[i * step_i]);
#pragma GCC unroll 8
      for (int j = 0; j < kN; ++j) sum[i][j] = V::fma(left, right[j], sum[i][j]);
    }
  }
#pragma GCC unroll 8
  for (int i = 0; i < kM; ++i) {
#pragma GCC unroll 8
    for (int j = 0; j < kN; ++j) V::store(c.data + i * c.stride + j * V::kWidth, sum[i][j]);
  }
}

template <class V, Left kLeft, Into kInto, int kN>
DS_INLINE void gemm_pick_rows(int rows, int64_t depth, Rows a, Rows b, Rows c) {
  switch (rows) {
    case 1:
      return gemm_registers<V, kLeft, kInto, 1, kN>(depth, a, b, c);
    case 2:
      return gemm_registers<V, kLeft, kInto, 2, kN>(depth, a, b, c);
    case 3:
      return gemm_registers<V, kLeft, kInto, 3, kN>(depth, a, b, c);
    case 4:
      return gemm_registers<V, kLeft, kInto, 4, kN>(depth, a, b, c);
    case 5:
      return gemm_registers<V, kLeft, kInto, 5, kN>(depth, a, b, c);
    default:
      return gemm_registers<V, kLeft, kInto, 6, kN>(depth, a, b, c);
  }
}

/// At most kTileRows rows and V::kTileVectors vectors of columns.
template <class V, Left kLeft, Into kInto>
DS_INLINE void gemm_tile(int rows, int vectors, int64_t depth, Rows a, Rows b, Rows c) {
  if constexpr (V::kTileVectors >= 4) {
    if (vectors == 4) return gemm_pick_rows<V, kLeft, kInto, 4>(rows, depth, a, b, c);
    if (vectors == 3) return gemm_pick_rows<V, kLeft, kInto, 3>(rows, depth, a, b, c);
  }
  if (vectors == 2) return gemm_pick_rows<V, kLeft, kInto, 2>(rows, depth, a, b, c);
  gemm_pick_rows<V, kLeft, kInto, 1>(rows, depth, a, b, c);
}

/// C += A B for at most kTileRows rows and any number of column vectors, cut evenly (5 as 3 + 2, not 4 + 1).
template <class V, Left kLeft>
DS_INLINE void gemm_row_group(int rows, int vectors, int64_t depth, Rows a, Rows b, Rows c) {
  const int cuts = (vectors + V::kTileVectors - 1) / V::kTileVectors;
  for (int cut = 0; cut < cuts; ++cut) {
    const int first = vectors * cut / cuts, count = vectors * (cut + 1) / cuts - first,
              column = first * V::kWidth;
    gemm_tile<V, kLeft, Into::kAdd>(rows, count, depth, a, {b.data + column, b.stride},
                                    {c.data + column, c.stride});
  }
}

/// Copies a row of `count` elements, each times `factor`, and fills up with zeros to `padded` (a multiple of
/// the width).
template <class V, class T>
DS_INLINE void pack_row(const T* from, int64_t count, int64_t padded, float factor, float* to) {
  int64_t i = 0;
  for (; i + V::kWidth <= count; i += V::kWidth) V::store(to + i, V::mul(V::load(from + i), V::set1(factor)));
  for (; i < count; ++i) {
    if constexpr (sizeof(T) == 2) {
      to[i] = bf16_to_float(from[i]) * factor;
    } else {
      to[i] = from[i] * factor;
    }
  }
  for (; i < padded; ++i) to[i] = 0;
}

template <class V, class T>
DS_INLINE void unpack_row(const float* from, int64_t count, float factor, T* to) {
  int64_t i = 0;
  for (; i + V::kWidth <= count; i += V::kWidth) V::store(to + i, V::mul(V::load(from + i), V::set1(factor)));
  for (; i < count; ++i) {
    if constexpr (sizeof(T) == 2) {
      to[i] = float_to_bf16(from[i] * factor);
    } else {
      to[i] = from[i] * factor;
    }
  }
}

/// Width of one panel of a transposed operand.
template <class V>
constexpr int64_t kPanel = V::kTileVectors* V::kWidth;

/// Turns packed rows [count][padded] into panels [ceil(count / kPanel)][padded][kPanel], zeros beyond
/// `count`.
template <class V>
void pack_panels(const float* rows, int64_t count, int64_t padded, float* panels) {
  constexpr int kW = V::kWidth;
  for (int64_t key = 0; key < round_up(count, kPanel<V>); key += kW) {
    float* panel = panels + key / kPanel<V> * kPanel<V> * padded + key % kPanel<V>;
    for (int64_t d = 0; d < padded; d += kW) {
      typename V::F block[kW];
      for (int i = 0; i < kW; ++i) {
        block[i] = key + i < count ? V::load(rows + (key + i) * padded + d) : V::set1(0);
      }
      V::transpose(block);
      for (int i = 0; i < kW; ++i) V::store(panel + (d + i) * kPanel<V>, block[i]);
    }
  }
}

}  // namespace
}  // namespace deepspeed::ops::cpu
