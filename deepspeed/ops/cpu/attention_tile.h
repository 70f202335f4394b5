// What the forward and backward attention kernels share: who sees whom, packing a head, scores of a tile.
#pragma once

#include "deepspeed/ops/cpu/attention_kernel.h"
#include "deepspeed/ops/cpu/gemm_tile.h"

namespace deepspeed::ops::cpu {
namespace {

constexpr int64_t kQueryTile = 96;                // queries of a tile, a multiple of kTileRows
constexpr int64_t kKeyBlock = 256;                // keys of a tile, a multiple of every panel width
constexpr int64_t kScoreStride = kKeyBlock + 16;  // not a power of two: columns are read as well
constexpr float kLog2E = 1.44269504088896341f, kLn2 = 0.693147180559945309f;
constexpr float kMinusInf = -__builtin_inff();

/// Keys [lo(i), hi(i)) are those that query i sees; both rise with i.
struct Visible {
  int64_t offset, queries, keys, window;  // keys: those before the end of the batch row at hand
  const int32_t* first_key;               // of the batch row at hand, or null
  bool causal;

  explicit Visible(const AttentionArgs& a)
      : offset(a.keys - a.queries),
        queries(a.queries),
        keys(a.keys),
        window(a.window),
        first_key(a.first_key),
        causal(a.causal) {}
  void enter_row(const AttentionArgs& a, int64_t b) {
    if (a.first_key != nullptr) first_key = a.first_key + b * queries;
    if (a.end_key != nullptr) keys = a.end_key[b];
  }
  int64_t position(int64_t i) const { return offset + i; }
  int64_t lo(int64_t i) const {
    const int64_t near = window > 0 ? max64(0, offset + i - window + 1) : 0;
    return first_key == nullptr ? near : max64(near, first_key[i]);
  }
  int64_t hi(int64_t i) const {
    if (causal) return min64(keys, offset + i + 1);
    return window > 0 ? min64(keys, offset + i + window) : keys;
  }
  /// Queries [first, end) are those that see any key of [begin_key, end_key), not yet cut to those that
  /// exist.
  int64_t first_query(int64_t begin_key) const {
    if (causal) return begin_key - offset;
    return window > 0 ? begin_key - offset - window + 1 : 0;
  }
  int64_t end_query(int64_t end_key) const {
    const int64_t end = window > 0 ? end_key - 1 + window - offset : INT64_MAX;
    return first_key == nullptr ? end : min64(end, first_that_starts_at(end_key));
  }

 private:
  /// The first query whose first key is `key` or later, by bisection.
  int64_t first_that_starts_at(int64_t key) const {
    int64_t low = 0, high = queries;
    while (low < high) {
      const int64_t middle = (low + high) / 2;
      if (first_key[middle] < key) {
        low = middle + 1;
      } else {
        high = middle;
      }
    }
    return low;
  }
};

/// tanh x within a few units in the last place; NaN for NaN. Of an eighth of x a short continued fraction
/// (Lambert, 1761) is exact to 3e-9, and tanh 2y = 2 tanh y / (1 + tanh^2 y) cancels nothing.
template <class V>
DS_INLINE typename V::F hyperbolic_tangent(typename V::F x) {
  const auto zero = V::set1(0), two = V::set1(2), one = V::set1(1);
  // Beyond 9.2 the result is 1. x comes second in max, so that a NaN stays.
  const auto below = V::sub(zero, V::max(V::set1(-9.2f), V::sub(zero, x)));
  const auto y = V::mul(V::max(V::set1(-9.2f), below), V::set1(0.125f)), z = V::mul(y, y);
  const auto over = V::fma(V::fma(V::set1(21), z, V::set1(1260)), z, V::set1(10395));
  const auto under = V::fma(V::fma(V::add(z, V::set1(210)), z, V::set1(4725)), z, V::set1(10395));
  auto t = V::div(V::mul(y, over), under);
  for (int doubling = 0; doubling < 3; ++doubling) t = V::div(V::mul(two, t), V::fma(t, t, one));
  return t;
}

/// Hands out pieces of a worker's scratch; with a null base it only counts.
struct Arena {
  float* base;
  int64_t used = 0;
  float* take(int64_t count) {
    float* piece = base == nullptr ? nullptr : base + used;
    used += round_up(count, 16);
    return piece;
  }
};

template <class T>
DS_INLINE T* row_of(const HeadView& view, int64_t b, int64_t h, int64_t row) {
  return static_cast<T*>(view.data) + b * view.batch + h * view.head + row * view.row;
}

// Rows of a head lie a whole projection apart, where the processor's own prefetching does not follow.
constexpr int64_t kPrefetchRows = 12;

template <class T>
DS_INLINE void prefetch_row(const HeadView& view, int64_t b, int64_t h, int64_t row, int64_t rows,
                            int64_t dim) {
  if (row >= rows) return;
  const char* line = reinterpret_cast<const char*>(row_of<const T>(view, b, h, row));
  for (int64_t i = 0; i < dim * static_cast<int64_t>(sizeof(T)); i += 64) __builtin_prefetch(line + i);
}

template <class V, class T>
void pack_head(const HeadView& view, int64_t b, int64_t h, int64_t count, int64_t dim, float* rows) {
  const int64_t padded = round_up(dim, V::kWidth);
  for (int64_t i = 0; i < count; ++i) {
    prefetch_row<T>(view, b, h, i + kPrefetchRows, count, dim);
    pack_row<V>(row_of<const T>(view, b, h, i), dim, padded, 1.0f, rows + i * padded);
  }
}

/// A tile: queries [first, first + rows) against keys [key, key_end), at most kKeyBlock; `key` starts a
/// panel.
struct Tile {
  int64_t first, rows, key, key_end;
};

/// out[r][c] = left row r . key row (tile.key + c), where any of r's group of kTileRows rows sees the key's
/// vector.
template <class V>
void tile_scores(const Visible& visible, const Tile& tile, int64_t dim, const float* left,
                 const float* panels, float* out) {
  constexpr int64_t kW = V::kWidth;
  const int64_t padded = round_up(dim, kW);
  for (int64_t base = tile.key; base < tile.key_end; base += kPanel<V>) {
    for (int64_t r = 0; r < tile.rows; r += kTileRows) {
      const int64_t rows = min64(kTileRows, tile.rows - r);
      const int64_t lo = max64(visible.lo(tile.first + r), base);
      const int64_t hi = min64(visible.hi(tile.first + r + rows - 1), base + kPanel<V>);
      if (lo >= hi) continue;
      const int64_t from = round_down(lo - base, kW), to = round_up(hi - base, kW);
      gemm_tile<V, Left::kNormal, Into::kSet>(
          static_cast<int>(rows), static_cast<int>((to - from) / kW), dim,
          {const_cast<float*>(left) + r * padded, padded},
          {const_cast<float*>(panels) + base * padded + from, kPanel<V>},
          {out + r * kScoreStride + base - tile.key + from, kScoreStride});
    }
  }
}

/// scores[c] += slope * log2(e) * (first + c) for columns [from, to), multiples of the vector width: `first`
/// is the distance from the query to the key of column 0.
template <class V>
DS_INLINE void add_alibi(float slope, int64_t first, int64_t from, int64_t to, float* scores) {
  constexpr int64_t kW = V::kWidth;
  alignas(64) float steps[kW];
  for (int64_t i = 0; i < kW; ++i) steps[i] = slope * kLog2E * static_cast<float>(i);
  const auto step = V::load(steps);
  for (int64_t c = from; c < to; c += kW) {
    const auto start = V::set1(slope * kLog2E * static_cast<float>(first + c));
    V::store(scores + c, V::add(V::load(scores + c), V::add(start, step)));
  }
}

/// scores[c] becomes cap * tanh(score / cap) for columns [from, to), multiples of the vector width. Scores
/// and cap are in units of ln 2, as the kernels keep them.
template <class V>
DS_INLINE void cap_scores(float cap, int64_t from, int64_t to, float* scores) {
  const auto inverse = V::set1(1.0f / cap), factor = V::set1(cap);
  for (int64_t c = from; c < to; c += V::kWidth)
    V::store(scores + c, V::mul(factor, hyperbolic_tangent<V>(V::mul(V::load(scores + c), inverse))));
}

/// The derivative of a capped score to what it was made of. -infinity, a hidden key, gives 0.
template <class V>
DS_INLINE typename V::F cap_slope(float cap, typename V::F capped) {
  const auto t = V::max(V::set1(-1.0f), V::mul(capped, V::set1(1.0f / cap)));
  return V::sub(V::set1(1.0f), V::mul(t, t));
}

/// Random words that decide columns [from, to) of the mask row of query i; from is a multiple of 4.
template <class V>
DS_INLINE void mask_words(const AttentionArgs& args, int64_t row, int64_t from, int64_t to, uint32_t* words) {
  const uint64_t index = static_cast<uint64_t>(row * round_up(args.keys, 16) + from);
  for (int64_t i = 0; i < to - from; i += V::kPhiloxWords) {
    V::philox(args.seed, args.stream, (index + static_cast<uint64_t>(i)) / 4, words + i);
  }
}

DS_INLINE void fill(float* p, int64_t from, int64_t to, float x) {
  for (int64_t i = from; i < to; ++i) p[i] = x;
}

}  // namespace
}  // namespace deepspeed::ops::cpu
