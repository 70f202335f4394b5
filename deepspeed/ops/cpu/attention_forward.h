// Attention forward: online softmax over blocks of keys.
// Source: Dao, "FlashAttention-2" (2023), algorithm 1.
#pragma once

#include "deepspeed/ops/cpu/attention_tile.h"

namespace deepspeed::ops::cpu {
namespace {

// With so few queries a head's keys are read once anyway: packing them would cost more than it saves.
constexpr int64_t kThinQueries = 4;

struct ForwardScratch {
  float *panels, *values, *q, *scores, *out, *max, *sum, *words;
  int64_t size;

  template <class V>
  static ForwardScratch make(const AttentionArgs& a, float* base) {
    const int64_t padded = round_up(a.dim, V::kWidth);
    const int64_t keys = a.queries <= kThinQueries ? 0 : round_up(a.keys, kPanel<V>);
    Arena arena{base};
    ForwardScratch s{};
    s.panels = arena.take(keys * padded);
    s.values = arena.take(keys * padded);
    s.q = arena.take(kQueryTile * padded);
    s.scores = arena.take(kQueryTile * kScoreStride);
    s.out = arena.take(kQueryTile * padded);
    s.max = arena.take(kQueryTile);
    s.sum = arena.take(kQueryTile);
    s.words = arena.take(kKeyBlock + 64);
    s.size = arena.used;
    return s;
  }
};

/// Turns the scores [from, to) of one row into (dropped) probabilities under the new maximum, in place;
/// columns outside [lo, hi) become 0. Returns the factor for what was summed before.
template <class V, bool kDropout>
DS_INLINE float softmax_row(const AttentionArgs& args, int64_t lo, int64_t hi, int64_t from, int64_t to,
                            float* row, const uint32_t* words, float& running_max, float& running_sum) {
  constexpr int64_t kW = V::kWidth;
  if (lo >= hi) {
    fill(row, from, to, 0);
    return 1;
  }
  fill(row, from, lo, kMinusInf);
  fill(row, hi, to, kMinusInf);
  typename V::F largest = V::load(row + from);
  for (int64_t c = from + kW; c < to; c += kW) largest = V::max(largest, V::load(row + c));
  const float old = running_max, block_max = V::largest(largest), now = old > block_max ? old : block_max;
  typename V::F sum = V::set1(0);
  for (int64_t c = from; c < to; c += kW) {
    typename V::F p = V::exp2(V::sub(V::load(row + c), V::set1(now)));
    sum = V::add(sum, p);
    if constexpr (kDropout) p = V::select_ge(words + c - from, args.drop_threshold, p, V::set1(0));
    V::store(row + c, p);
  }
  alignas(64) float correction[kW];
  V::store(correction, V::exp2(V::set1(old - now)));
  running_max = now;
  running_sum = running_sum * correction[0] + V::sum(sum);
  return correction[0];
}

template <class V, class T>
struct Forward {
  const AttentionArgs& args;
  Visible visible{args};
  const int64_t padded = round_up(args.dim, V::kWidth);
  const ForwardScratch s;

  Forward(const AttentionArgs& a, float* scratch) : args(a), s(ForwardScratch::make<V>(a, scratch)) {}

  void pack_keys(int64_t b, int64_t kv) const {
    pack_head<V, T>(args.k, b, kv, args.keys, args.dim, s.values);
    pack_panels<V>(s.values, args.keys, padded, s.panels);
    pack_head<V, T>(args.v, b, kv, args.keys, args.dim, s.values);
  }

  /// Softmax of rows [r, r + rows) of a tile, whose group sees columns [from, to) of the block; scales `out`
  /// to match.
  template <bool kDropout>
  void softmax_group(const Tile& tile, int64_t item, int64_t r, int64_t rows, int64_t from,
                     int64_t to) const {
    uint32_t* words = reinterpret_cast<uint32_t*>(s.words);
    for (int64_t i = r; i < r + rows; ++i) {
      const int64_t query = tile.first + i;
      if constexpr (kDropout)
        mask_words<V>(args, item * args.queries + query, tile.key + from, tile.key + to, words);
      const int64_t lo = max64(visible.lo(query) - tile.key, from),
                    hi = min64(visible.hi(query) - tile.key, to);
      float* scores = s.scores + i * kScoreStride;
      if (args.softcap > 0 && lo < hi) cap_scores<V>(args.softcap * kLog2E, from, to, scores);
      if (args.alibi_slopes != nullptr && lo < hi) {
        add_alibi<V>(args.alibi_slopes[item % args.heads], tile.key - visible.position(query), from, to,
                     scores);
      }
      const float factor =
          softmax_row<V, kDropout>(args, lo, hi, from, to, scores, words, s.max[i], s.sum[i]);
      if (factor == 1) continue;
      float* out = s.out + i * padded;
      for (int64_t d = 0; d < padded; d += V::kWidth)
        V::store(out + d, V::mul(V::load(out + d), V::set1(factor)));
    }
  }

  void group_range(const Tile& tile, int64_t r, int64_t rows, int64_t& from, int64_t& to,
                   int64_t& end) const {
    from = round_down(max64(visible.lo(tile.first + r) - tile.key, 0), V::kWidth);
    end = min64(visible.hi(tile.first + r + rows - 1), tile.key_end) - tile.key;
    to = round_up(end, V::kWidth);
  }

  template <bool kDropout>
  void block(const Tile& tile, int64_t item) const {
    tile_scores<V>(visible, tile, args.dim, s.q, s.panels, s.scores);
    for (int64_t r = 0; r < tile.rows; r += kTileRows) {
      const int64_t rows = min64(kTileRows, tile.rows - r);
      int64_t from, to, end;
      group_range(tile, r, rows, from, to, end);
      if (from >= end) continue;
      softmax_group<kDropout>(tile, item, r, rows, from, to);
      gemm_row_group<V, Left::kNormal>(static_cast<int>(rows), static_cast<int>(padded / V::kWidth),
                                       end - from, {s.scores + r * kScoreStride + from, kScoreStride},
                                       {s.values + (tile.key + from) * padded, padded},
                                       {s.out + r * padded, padded});
    }
  }

  /// As block(), reading keys and values where they lie.
  template <bool kDropout>
  void thin_block(const Tile& tile, int64_t item, int64_t b, int64_t kv) const {
    for (int64_t r = 0; r < tile.rows; ++r) {
      int64_t from, to, end;
      group_range(tile, r, 1, from, to, end);
      if (from >= end) continue;
      float* row = s.scores + r * kScoreStride;
      for (int64_t c = from; c < end; ++c)
        row[c] = dot(s.q + r * padded, row_of<const T>(args.k, b, kv, tile.key + c));
      softmax_group<kDropout>(tile, item, r, 1, from, to);
      for (int64_t c = from; c < end; ++c) {
        add_scaled(row[c], row_of<const T>(args.v, b, kv, tile.key + c), s.out + r * padded);
      }
    }
  }

  DS_INLINE float dot(const float* a, const T* b) const {
    const int64_t whole = round_down(args.dim, V::kWidth);
    typename V::F sum = V::set1(0);
    for (int64_t d = 0; d < whole; d += V::kWidth) sum = V::fma(V::load(a + d), V::load(b + d), sum);
    float total = V::sum(sum);
    for (int64_t d = whole; d < args.dim; ++d) total += a[d] * element(b[d]);
    return total;
  }

  DS_INLINE void add_scaled(float p, const T* v, float* out) const {
    const int64_t whole = round_down(args.dim, V::kWidth);
    for (int64_t d = 0; d < whole; d += V::kWidth) {
      V::store(out + d, V::fma(V::set1(p), V::load(v + d), V::load(out + d)));
    }
    for (int64_t d = whole; d < args.dim; ++d) out[d] += p * element(v[d]);
  }

  static DS_INLINE float element(float x) { return x; }
  static DS_INLINE float element(uint16_t x) { return bf16_to_float(x); }

  template <bool kDropout>
  void tile(int64_t b, int64_t h, int64_t first) const {
    const int64_t rows = min64(kQueryTile, args.queries - first), item = b * args.heads + h;
    const int64_t kv = h / (args.heads / args.kv_heads);
    for (int64_t r = 0; r < rows; ++r) {
      prefetch_row<T>(args.q, b, h, first + r + kPrefetchRows, first + rows, args.dim);
      pack_row<V>(row_of<const T>(args.q, b, h, first + r), args.dim, padded, args.scale * kLog2E,
                  s.q + r * padded);
    }
    fill(s.out, 0, rows * padded, 0);
    fill(s.max, 0, rows, kMinusInf);
    fill(s.sum, 0, rows, 0);
    const int64_t end = visible.hi(first + rows - 1);
    for (int64_t key = round_down(visible.lo(first), kKeyBlock); key < end; key += kKeyBlock) {
      const Tile tile{first, rows, key, min64(key + kKeyBlock, end)};
      if (args.queries <= kThinQueries) {
        thin_block<kDropout>(tile, item, b, kv);
      } else {
        block<kDropout>(tile, item);
      }
    }
    for (int64_t r = 0; r < rows; ++r) {
      const float keep = kDropout ? args.keep_scale : 1.0f;
      unpack_row<V>(s.out + r * padded, args.dim, keep / s.sum[r], row_of<T>(args.out, b, h, first + r));
      if (args.log_sum_exp)
        args.log_sum_exp[item * args.queries + first + r] = s.max[r] + __builtin_log2f(s.sum[r]);
    }
  }

  void run(int64_t begin, int64_t end) {
    int64_t packed = -1;
    for (int64_t item = begin; item < end; ++item) {
      const int64_t b = item / args.heads, h = item % args.heads, kv = h / (args.heads / args.kv_heads);
      visible.enter_row(args, b);
      if (args.queries > kThinQueries && packed != b * args.kv_heads + kv) {
        pack_keys(b, kv);
        packed = b * args.kv_heads + kv;
      }
      for (int64_t first = 0; first < args.queries; first += kQueryTile) {
        if (args.dropout) {
          tile<true>(b, h, first);
        } else {
          tile<false>(b, h, first);
        }
      }
    }
  }
};

template <class V>
int64_t forward_scratch(const AttentionArgs& args) {
  return ForwardScratch::make<V>(args, nullptr).size;
}

template <class V>
void forward(const AttentionArgs& args, int64_t begin, int64_t end, float* scratch) {
  if (args.bf16) {
    Forward<V, uint16_t>(args, scratch).run(begin, end);
  } else {
    Forward<V, float>(args, scratch).run(begin, end);
  }
}

}  // namespace
}  // namespace deepspeed::ops::cpu
