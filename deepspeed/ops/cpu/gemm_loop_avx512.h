// The blocked product of gemm_kernel.h: tiles of 14 x 32 sums in registers over panels of both factors, which
// are packed block by block: a's for the second-level cache, b's for the third. Blocks half and twice as
// large were measured, too: none was faster on Zen 4.
#pragma once

#include "deepspeed/ops/cpu/gemm_panels_avx512.h"

namespace deepspeed::ops::cpu {
namespace {

constexpr int kGemmRows = 14, kGemmVectors = 2, kGemmColumns = kGemmVectors * 16;
// Units of a block's depth, rows of a's block and columns of b's: whole panels.
constexpr int64_t kDepthBlock = 512, kRowBlock = 140, kColumnBlock = 1024;
constexpr int64_t kPanelSlack = 16;  // floats that pack_panel writes beyond the last panel
constexpr int64_t kPackedA = kRowBlock * kDepthBlock + kPanelSlack,
                  kPackedB = kColumnBlock * kDepthBlock + kPanelSlack;

/// A tile of the result: `columns` (1 to 32) of it are there. add may be null.
struct GemmTile {
  const float* add;
  int64_t add_stride;
  float* out;
  int64_t out_stride;
  int64_t columns;
};

template <class U, int kRows, int kVectors>
void gemm_registers(int64_t units, const float* a, const float* b, const GemmTile& tile) {
  __m512 sum[kRows][kVectors];
#pragma GCC unroll 16
  for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 2
    for (int v = 0; v < kVectors; ++v) {
      sum[i][v] = _mm512_setzero_ps();
      __builtin_prefetch(tile.out + i * tile.out_stride + v * 16, 1);
    }
  }
  for (int64_t k = 0; k < units; ++k, a += kGemmRows, b += kGemmColumns) {
    __m512 right[kVectors];
#pragma GCC unroll 2
    for (int v = 0; v < kVectors; ++v) right[v] = _mm512_loadu_ps(b + v * 16);
#pragma GCC unroll 16
    for (int i = 0; i < kRows; ++i) {
      const __m512 left = _mm512_set1_ps(a[i]);
#pragma GCC unroll 2
      for (int v = 0; v < kVectors; ++v) sum[i][v] = U::madd(sum[i][v], left, right[v]);
    }
  }
  const bool whole = tile.columns == kVectors * 16;
#pragma GCC unroll 2
  for (int v = 0; v < kVectors; ++v) {
    const __mmask16 lanes = first_lanes(tile.columns - v * 16);
#pragma GCC unroll 16
    for (int i = 0; i < kRows; ++i) {
      float* to = tile.out + i * tile.out_stride + v * 16;
      __m512 x = sum[i][v];
      if (tile.add != nullptr)
        x = _mm512_add_ps(x, _mm512_maskz_loadu_ps(lanes, tile.add + i * tile.add_stride + v * 16));
      if (whole)
        _mm512_storeu_ps(to, x);
      else
        _mm512_mask_storeu_ps(to, lanes, x);
    }
  }
}

template <class U, int kRows = kGemmRows>
DS_INLINE void gemm_tile(int64_t rows, int64_t units, const float* a, const float* b, const GemmTile& tile) {
  if constexpr (kRows > 1) {
    if (rows < kRows) return gemm_tile<U, kRows - 1>(rows, units, a, b, tile);
  }
  if (tile.columns > 16)
    gemm_registers<U, kRows, 2>(units, a, b, tile);
  else
    gemm_registers<U, kRows, 1>(units, a, b, tile);
}

/// How a depth of k elements is cut: the same for packing and multiplying.
struct DepthCut {
  int64_t blocks, elements;  // of a whole block
};

constexpr int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

template <class U>
DepthCut cut_depth(int64_t k) {
  const int64_t blocks = ceil_div(k, kDepthBlock * U::kDepth);
  if (blocks <= 1) return {1, k};
  constexpr int64_t kWhole = 16 * U::kDepth;
  return {blocks, ceil_div(ceil_div(k, blocks), kWhole) * kWhole};
}

template <class U, int kWidth>
void pack_block(const GemmFactor& factor, const GemmPart& part, float* panels) {
  const int64_t panel = ceil_div(part.end - part.begin, U::kDepth) * kWidth;
  for (int64_t i = 0; i < part.count; i += kWidth, panels += panel)
    pack_panel<U, kWidth>(factor, {part.first + i, part.count - i, part.begin, part.end}, panels);
}

/// Rows [0, m) of the product's part that a block of b makes, packed already.
template <class U>
void multiply_block(const Gemm& g, const GemmPart& b, const float* packed_b, float* packed_a) {
  const int64_t units = ceil_div(b.end - b.begin, U::kDepth);
  const bool first = b.begin == 0;
  const float* add = first ? g.add : g.out;
  const int64_t add_stride = first ? g.add_stride : g.out_stride;
  const int64_t row_blocks = ceil_div(g.m, kRowBlock);
  const int64_t height = row_blocks == 0 ? 0 : ceil_div(ceil_div(g.m, row_blocks), kGemmRows) * kGemmRows;
  for (int64_t row = 0; row < g.m; row += height) {
    const int64_t rows = min64(g.m - row, height);
    pack_block<U, kGemmRows>(g.a, {row, rows, b.begin, b.end}, packed_a);
    for (int64_t j = 0; j < b.count; j += kGemmColumns)
      for (int64_t i = 0; i < rows; i += kGemmRows) {
        const int64_t r = row + i, column = b.first + j;
        gemm_tile<U>(min64(rows - i, kGemmRows), units, packed_a + i * units, packed_b + j * units,
                     {add == nullptr ? nullptr : add + r * add_stride + column, add_stride,
                      g.out + r * g.out_stride + column, g.out_stride, min64(b.count - j, kGemmColumns)});
      }
  }
}

template <class U>
void gemm_multiply(const Gemm& g, void* scratch) {
  float* packed_b = static_cast<float*>(scratch);
  float* packed_a = packed_b + kPackedB;
  const DepthCut cut = cut_depth<U>(g.k);
  const int64_t columns = ceil_div(g.n, kGemmColumns) * kGemmColumns;
  const int64_t width = g.packed_b != nullptr ? columns : kColumnBlock;
  for (int64_t column = 0; column < g.n; column += width)
    for (int64_t block = 0; block < cut.blocks; ++block) {
      const int64_t begin = block * cut.elements;
      const GemmPart part{column, min64(g.n - column, width), begin, min64(g.k, begin + cut.elements)};
      const float* panels = static_cast<const float*>(g.packed_b) + begin / U::kDepth * columns;
      if (g.packed_b == nullptr) {
        pack_block<U, kGemmColumns>(g.b, part, packed_b);
        panels = packed_b;
      }
      multiply_block<U>(g, part, panels, packed_a);
    }
}

template <class U>
int64_t gemm_packed_bytes(int64_t n, int64_t k) {
  const int64_t columns = ceil_div(n, kGemmColumns) * kGemmColumns;
  return (columns * ceil_div(k, U::kDepth) + kPanelSlack) * 4;
}

template <class U>
void gemm_pack(const GemmFactor& b, int64_t n, int64_t k, void* packed) {
  const int64_t columns = ceil_div(n, kGemmColumns) * kGemmColumns;
  const DepthCut cut = cut_depth<U>(k);
  for (int64_t begin = 0; begin < k; begin += cut.elements)
    pack_block<U, kGemmColumns>(b, {0, n, begin, min64(k, begin + cut.elements)},
                                static_cast<float*>(packed) + begin / U::kDepth * columns);
}

template <class U>
constexpr GemmKernel kGemmByUnits = {sizeof(typename U::Element), (kPackedA + kPackedB) * 4,
                                     gemm_packed_bytes<U>, gemm_pack<U>, gemm_multiply<U>};

}  // namespace
}  // namespace deepspeed::ops::cpu
