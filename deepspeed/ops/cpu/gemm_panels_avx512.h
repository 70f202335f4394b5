// Panels for gemm_loop_avx512.h. A unit is 32 bits of a factor's depth: an fp32 element or a pair of bf16
// ones, the first in its low half. A panel of width W holds [units][W], zeros beyond the factor's ends. What
// a unit is made of and how two are multiplied is the parameter `U`:
//   Element, kDepth              of which a unit has so many
//   madd(sum, a, b)              sum + a b, 16 units each
//   along(p, elements)           16 units along the depth, of which `elements` elements are there
//   across(p, depth_stride, elements, lanes)  one unit of each of 16 neighbours, of which `lanes` are there
#pragma once

#ifndef __clang__
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif
#include <immintrin.h>

#include "deepspeed/ops/cpu/gemm_kernel.h"
#include "deepspeed/ops/cpu/simd_avx512.h"

namespace deepspeed::ops::cpu {
namespace {

/// The part of a factor that goes into one panel: `count` rows or columns from `first` on, elements
/// [begin, end) of their depth.
struct GemmPart {
  int64_t first, count, begin, end;
};

DS_INLINE __mmask16 first_lanes(int64_t count) {
  return static_cast<__mmask16>(count >= 16 ? 0xFFFF : count <= 0 ? 0 : (1u << count) - 1);
}

/// Whole vectors are written from each unit's start on: up to 15 floats beyond the panel.
template <class U, int kWidth>
void pack_panel(const GemmFactor& factor, const GemmPart& part, float* panel) {
  using T = typename U::Element;
  constexpr int kVectors = (kWidth + 15) / 16;
  const T* from =
      static_cast<const T*>(factor.data) + part.first * factor.stride + part.begin * factor.depth_stride;
  const int64_t depth = part.end - part.begin;
  if (factor.depth_stride == 1) {
    constexpr int64_t kBlock = 16 * U::kDepth;
    for (int64_t k = 0; k < depth; k += kBlock) {
      const int64_t units = (depth - k < kBlock ? depth - k + U::kDepth - 1 : kBlock) / U::kDepth;
      float* to = panel + k / U::kDepth * kWidth;
      __m512 block[kVectors][16];
      for (int v = 0; v < kVectors; ++v) {
        const int64_t rows = part.count - v * 16;
#pragma GCC unroll 16
        for (int i = 0; i < 16; ++i) {
          const bool there = v * 16 + i < kWidth && i < rows;
          const T* row = from + (v * 16 + i) * factor.stride + k;
          if (there) _mm_prefetch(reinterpret_cast<const char*>(row) + 256, _MM_HINT_T0);
          block[v][i] = there ? U::along(row, depth - k) : _mm512_setzero_ps();
        }
        SimdAvx512::transpose(block[v]);
      }
      for (int64_t u = 0; u < units; ++u)
        for (int v = 0; v < kVectors; ++v) _mm512_storeu_ps(to + u * kWidth + v * 16, block[v][u]);
    }
    return;
  }
  constexpr int64_t kAhead = 16;
  __mmask16 lanes[kVectors];
  for (int v = 0; v < kVectors; ++v)
    lanes[v] = first_lanes((part.count < kWidth ? part.count : kWidth) - v * 16);
  for (int64_t k = 0; k < depth; k += U::kDepth) {
    const T* row = from + k * factor.depth_stride;
    for (int64_t d = 0; d < U::kDepth; ++d)
      for (int64_t byte = 0; byte < kWidth * static_cast<int64_t>(sizeof(T)); byte += 64)
        _mm_prefetch(
            reinterpret_cast<const char*>(row + (kAhead * U::kDepth + d) * factor.depth_stride) + byte,
            _MM_HINT_T0);
    for (int v = 0; v < kVectors; ++v)
      _mm512_storeu_ps(panel + k / U::kDepth * kWidth + v * 16,
                       U::across(row + v * 16, factor.depth_stride, depth - k, lanes[v]));
  }
}

}  // namespace
}  // namespace deepspeed::ops::cpu
