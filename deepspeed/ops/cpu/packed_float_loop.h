// Packed fp32 and bf16 weights times rows of fp32, or of pairs of bf16, for packed_loop.h.
#pragma once

#include "deepspeed/ops/cpu/packed_finish.h"

namespace deepspeed::ops::cpu {
namespace {

template <class V>
constexpr int kPanelVectors = static_cast<int>(kPanel) / V::kWidth;

// How far ahead of its use a weight is asked for: one stream a thread is what the processors' own prefetching
// keeps half as much of in flight as the memory could give.
constexpr int64_t kAhead = 2048;
constexpr int64_t kFarAhead = 4096;  // of fp32 and bf16
DS_INLINE void ask_for(const void* from) { __builtin_prefetch(static_cast<const char*>(from) + kAhead); }

/// V has beside its lanes: kFloatRows, how many rows are multiplied at once, which lie side by side in p.x;
/// kFloatPanels, by how many panels of a pair: their sums and one number's weights fill the registers;
/// even(p) and odd(p), the fp32 numbers of kWidth pairs of bf16. One with dot(x, w, sum) multiplies bf16 pair
/// by pair, as words that hold two numbers; p.x then holds such words.
template <class V, PackedScheme kScheme>
constexpr bool kByPairs = kScheme == PackedScheme::kBf16&& requires(typename V::F f) {
  V::dot(f, f, f);
};

/// Vector v of number k + step of a panel, k even; of both numbers where they are pairs.
template <class V, PackedScheme kScheme>
DS_INLINE typename V::F load_of(const void* panel, int64_t k, int step, int v) {
  if constexpr (kScheme == PackedScheme::kFp32)
    return V::load(static_cast<const float*>(panel) + (k + step) * kPanel + v * V::kWidth);
  const uint16_t* from = static_cast<const uint16_t*>(panel) + k * kPanel + v * 2 * V::kWidth;
  if constexpr (kByPairs<V, kScheme>) return V::load(reinterpret_cast<const float*>(from));
  return step == 0 ? V::even(from) : V::odd(from);
}

// Numbers of `in` whose products are summed before the next ones of the weight are looked at: with the rows
// of x that go with them they stay in the first cache.
constexpr int64_t kFloatDepth = 192;

// Few rows take both panels: one has too few sums to wait for nothing.
template <class V, int kRows>
constexpr int kPanelsAtOnce = 2 * kRows <= V::kFloatRows ? 2 : V::kFloatPanels;

/// sums [kRows][32] of numbers [begin, end), begin even, of kPanelsAtOnce panels; added to what is there
/// unless begin is 0. `first`: the weight comes from memory.
template <class V, PackedScheme kScheme, int kRows>
void float_sums(const PackedProduct& p, int64_t row, int64_t panel, int64_t begin, int64_t end, bool first,
                float* sums) {
  using F = typename V::F;
  constexpr int kPanels = kPanelsAtOnce<V, kRows>, kHalf = kPanelVectors<V>, kVectors = kPanels * kHalf;
  const PackedFormat& f = p.format;
  const int64_t panel_bytes = f.panel_bytes();
  const uint8_t* left = p.codes + panel * panel_bytes;
  const uint8_t* right = left + panel_bytes;
  const float* x = p.x + row * p.x_stride;
  F sum[kRows][kVectors];
  for (int r = 0; r < kRows; ++r)
    for (int v = 0; v < kVectors; ++v)
      sum[r][v] = begin == 0 ? V::set1(0) : V::load(sums + r * 2 * kPanel + v * V::kWidth);
  constexpr int64_t kLine = kScheme == PackedScheme::kFp32 ? 1 : 2;
  constexpr bool kPairs = kByPairs<V, kScheme>;
  for (int64_t k = begin; k < end; k += 2) {
    if (first)
      for (int64_t line = k; line < k + 2; line += kLine) {
        // Behind its panel's end one of two streams goes on in the next pair.
        const int64_t at = line * 64 / kLine + kFarAhead;
        const int64_t place = kPanels == 1 || at < panel_bytes ? at : at + panel_bytes;
        __builtin_prefetch(left + place);
        if constexpr (kPanels == 2) __builtin_prefetch(right + place);
      }
    for (int step = 0; step < (kPairs ? 1 : 2); ++step) {
      F w[kVectors];
      for (int v = 0; v < kVectors; ++v)
        w[v] = load_of<V, kScheme>(v < kHalf ? left : right, k, step, v % kHalf);
      for (int r = 0; r < kRows; ++r) {
        const F xk = V::set1(x[(kPairs ? k / 2 : k + step) * kRows + r]);
        for (int v = 0; v < kVectors; ++v) {
          if constexpr (kPairs)
            sum[r][v] = V::dot(xk, w[v], sum[r][v]);
          else
            sum[r][v] = V::fma(xk, w[v], sum[r][v]);
        }
      }
    }
  }
  for (int r = 0; r < kRows; ++r)
    for (int v = 0; v < kVectors; ++v) V::store(sums + r * 2 * kPanel + v * V::kWidth, sum[r][v]);
}

/// Rows::run<count>(row) for rows [begin, end): kMost at a time, then the rest at once.
template <class Rows, int kMost>
struct RowSteps {
  static DS_INLINE void all(const Rows& rows, int64_t begin, int64_t end) {
    for (; begin + kMost <= end; begin += kMost) rows.template run<kMost>(begin);
    rest<kMost - 1>(rows, begin, end - begin);
  }

 private:
  template <int kCount>
  static DS_INLINE void rest(const Rows& rows, int64_t row, int64_t count) {
    if constexpr (kCount > 0) {
      if (count == kCount) return rows.template run<kCount>(row);
      rest<kCount - 1>(rows, row, count);
    }
  }
};

template <class V, PackedScheme kScheme>
struct FloatRows {
  const PackedProduct& p;
  int64_t pair, first, begin, end;
  float* sums;  // from row `first` on
  template <int kRows>
  void run(int64_t row) const {
    for (int64_t panel = 0; panel < 2; panel += kPanelsAtOnce<V, kRows>)
      float_sums<V, kScheme, kRows>(p, row, 2 * pair + panel, begin, end, row == 0,
                                    sums + (row - first) * 2 * kPanel + panel * kPanel);
  }
};

template <class V, PackedScheme kScheme>
void float_multiply(const PackedProduct& p, int64_t begin, int64_t end, int64_t row_begin, int64_t row_end) {
  static_assert(kPackedRowStep % V::kFloatRows == 0);
  alignas(64) float sums[kPackedRowStep * 2 * kPanel];
  const int64_t in = round_up(p.format.in, 2),
                depth = p.rows <= V::kFloatRows ? in : (kByPairs<V, kScheme> ? 2 : 1) * kFloatDepth;
  for (int64_t pair = begin; pair < end; ++pair)
    for (int64_t row = row_begin; row < row_end; row += kPackedRowStep) {
      const int64_t last = min64(row_end, row + kPackedRowStep);
      for (int64_t k = 0; k < in; k += depth)
        RowSteps<FloatRows<V, kScheme>, V::kFloatRows>::all({p, pair, row, k, min64(in, k + depth), sums},
                                                            row, last);
      finish<V>(p, row, last - row, pair, sums);
    }
}

}  // namespace
}  // namespace deepspeed::ops::cpu
