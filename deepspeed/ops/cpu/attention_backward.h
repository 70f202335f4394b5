// Attention backward: probabilities are computed again from the saved log-sum-exp, tile by tile.
// Source: Dao, "FlashAttention-2" (2023), algorithm 2.
#pragma once

#include "deepspeed/ops/cpu/attention_tile.h"

namespace deepspeed::ops::cpu {
namespace {

struct BackwardScratch {
  float *key_panels, *value_panels, *keys, *grad_k, *grad_v;                 // one kv head
  float *q, *grad_out, *grad_q, *probs, *grad_scores, *delta, *lse, *words;  // one tile
  int64_t size;

  template <class V>
  static BackwardScratch make(const AttentionArgs& a, float* base) {
    const int64_t padded = round_up(a.dim, V::kWidth), head = round_up(a.keys, kPanel<V>) * padded;
    Arena arena{base};
    BackwardScratch s{};
    s.key_panels = arena.take(head);
    s.value_panels = arena.take(head);
    s.keys = arena.take(head);
    s.grad_k = arena.take(head);
    s.grad_v = arena.take(head);
    s.q = arena.take(kQueryTile * padded);
    s.grad_out = arena.take(kQueryTile * padded);
    s.grad_q = arena.take(kQueryTile * padded);
    s.probs = arena.take(kQueryTile * kScoreStride);
    s.grad_scores = arena.take(kQueryTile * kScoreStride);
    s.delta = arena.take(kQueryTile);
    s.lse = arena.take(kQueryTile);
    s.words = arena.take(kKeyBlock + 64);
    s.size = arena.used;
    return s;
  }
};

template <class V, class T>
struct Backward {
  const AttentionArgs& args;
  Visible visible{args};
  const int64_t padded = round_up(args.dim, V::kWidth);
  const int vectors = static_cast<int>(padded / V::kWidth);
  const BackwardScratch s;

  Backward(const AttentionArgs& a, float* scratch) : args(a), s(BackwardScratch::make<V>(a, scratch)) {}

  void pack_keys(int64_t b, int64_t kv) const {
    pack_head<V, T>(args.v, b, kv, args.keys, args.dim, s.keys);
    pack_panels<V>(s.keys, args.keys, padded, s.value_panels);
    pack_head<V, T>(args.k, b, kv, args.keys, args.dim, s.keys);
    pack_panels<V>(s.keys, args.keys, padded, s.key_panels);
    fill(s.grad_k, 0, args.keys * padded, 0);
    fill(s.grad_v, 0, args.keys * padded, 0);
  }

  /// Packs the tile's queries and output gradients; delta = output . gradient of the output.
  void pack_queries(int64_t b, int64_t h, int64_t first, int64_t rows) const {
    const int64_t end = first + rows;
    float* out = s.grad_q;  // a row of it, before the tile's gradients go there
    for (int64_t r = 0; r < rows; ++r) {
      const int64_t query = first + r, ahead = query + kPrefetchRows;
      prefetch_row<T>(args.q, b, h, ahead, end, args.dim);
      prefetch_row<T>(args.grad_out, b, h, ahead, end, args.dim);
      prefetch_row<T>(args.out, b, h, ahead, end, args.dim);
      float* grad = s.grad_out + r * padded;
      pack_row<V>(row_of<const T>(args.q, b, h, query), args.dim, padded, args.scale * kLog2E,
                  s.q + r * padded);
      pack_row<V>(row_of<const T>(args.grad_out, b, h, query), args.dim, padded, 1.0f, grad);
      pack_row<V>(row_of<const T>(args.out, b, h, query), args.dim, padded, 1.0f, out);
      typename V::F sum = V::set1(0);
      for (int64_t d = 0; d < padded; d += V::kWidth) sum = V::fma(V::load(out + d), V::load(grad + d), sum);
      s.delta[r] = V::sum(sum);
      s.lse[r] = args.log_sum_exp[(b * args.heads + h) * args.queries + query];
    }
    fill(s.grad_q, 0, rows * padded, 0);
  }

  /// probs: scores -> dropped probabilities; grad_scores: their gradients -> gradients of the scores. Columns
  /// of a row that it does not see become 0 in both.
  template <bool kDropout>
  void softmax_row(const Tile& tile, int64_t r, int64_t item) const {
    constexpr int64_t kW = V::kWidth;
    const int64_t width = round_up(tile.key_end - tile.key, kW), query = tile.first + r;
    const int64_t lo = max64(visible.lo(query) - tile.key, 0),
                  hi = min64(visible.hi(query), tile.key_end) - tile.key;
    float *prob = s.probs + r * kScoreStride, *grad = s.grad_scores + r * kScoreStride;
    if (lo >= hi) {
      fill(prob, 0, width, 0);
      fill(grad, 0, width, 0);
      return;
    }
    const int64_t from = round_down(lo, kW), to = round_up(hi, kW);
    fill(prob, 0, from, 0);
    fill(prob, to, width, 0);
    fill(grad, 0, from, 0);
    fill(grad, to, width, 0);
    if (args.alibi_slopes != nullptr) {
      add_alibi<V>(args.alibi_slopes[item % args.heads], tile.key - visible.position(query), from, to, prob);
    }
    const float cap = args.softcap * kLog2E;
    if (cap > 0) cap_scores<V>(cap, from, to, prob);
    fill(prob, from, lo, kMinusInf);
    fill(prob, hi, to, kMinusInf);
    uint32_t* words = reinterpret_cast<uint32_t*>(s.words);
    if constexpr (kDropout)
      mask_words<V>(args, item * args.queries + query, tile.key + from, tile.key + to, words);
    const auto lse = V::set1(s.lse[r]), delta = V::set1(s.delta[r]), keep = V::set1(args.keep_scale),
               zero = V::set1(0);
    for (int64_t c = from; c < to; c += kW) {
      const auto score = V::load(prob + c);
      auto p = V::exp2(V::sub(score, lse)), g = V::load(grad + c);
      if constexpr (kDropout) g = V::select_ge(words + c - from, args.drop_threshold, V::mul(g, keep), zero);
      const auto slope = cap > 0 ? cap_slope<V>(cap, score) : V::set1(1);
      V::store(grad + c, V::mul(V::mul(p, V::sub(g, delta)), slope));
      if constexpr (kDropout) p = V::select_ge(words + c - from, args.drop_threshold, p, zero);
      V::store(prob + c, p);
    }
  }

  /// grad_k and grad_v of the block's keys, from the queries of the tile that see them.
  void add_key_gradients(const Tile& tile) const {
    for (int64_t key = max64(tile.key, visible.lo(tile.first)); key < tile.key_end; key += kTileRows) {
      const int64_t rows = min64(kTileRows, tile.key_end - key), column = key - tile.key;
      const int64_t first = max64(0, visible.first_query(key) - tile.first);
      const int64_t end = min64(tile.rows, visible.end_query(key + rows) - tile.first);
      if (first >= end) continue;
      gemm_row_group<V, Left::kTransposed>(static_cast<int>(rows), vectors, end - first,
                                           {s.probs + first * kScoreStride + column, kScoreStride},
                                           {s.grad_out + first * padded, padded},
                                           {s.grad_v + key * padded, padded});
      gemm_row_group<V, Left::kTransposed>(static_cast<int>(rows), vectors, end - first,
                                           {s.grad_scores + first * kScoreStride + column, kScoreStride},
                                           {s.q + first * padded, padded}, {s.grad_k + key * padded, padded});
    }
  }

  void add_query_gradients(const Tile& tile) const {
    for (int64_t r = 0; r < tile.rows; r += kTileRows) {
      const int64_t rows = min64(kTileRows, tile.rows - r);
      const int64_t key = max64(tile.key, visible.lo(tile.first + r));
      const int64_t end = min64(tile.key_end, visible.hi(tile.first + r + rows - 1));
      if (key >= end) continue;
      gemm_row_group<V, Left::kNormal>(static_cast<int>(rows), vectors, end - key,
                                       {s.grad_scores + r * kScoreStride + key - tile.key, kScoreStride},
                                       {s.keys + key * padded, padded}, {s.grad_q + r * padded, padded});
    }
  }

  template <bool kDropout>
  void tile(int64_t b, int64_t h, int64_t first) const {
    const int64_t rows = min64(kQueryTile, args.queries - first);
    pack_queries(b, h, first, rows);
    const int64_t end = visible.hi(first + rows - 1);
    for (int64_t key = round_down(visible.lo(first), kKeyBlock); key < end; key += kKeyBlock) {
      const Tile tile{first, rows, key, min64(key + kKeyBlock, end)};
      tile_scores<V>(visible, tile, args.dim, s.q, s.key_panels, s.probs);
      tile_scores<V>(visible, tile, args.dim, s.grad_out, s.value_panels, s.grad_scores);
      for (int64_t r = 0; r < rows; ++r) {
        softmax_row<kDropout>(tile, r, b * args.heads + h);
      }
      add_key_gradients(tile);
      add_query_gradients(tile);
    }
    for (int64_t r = 0; r < rows; ++r) {
      unpack_row<V>(s.grad_q + r * padded, args.dim, args.scale, row_of<T>(args.grad_q, b, h, first + r));
    }
  }

  void run(int64_t begin, int64_t end) {
    const int64_t group = args.heads / args.kv_heads;
    for (int64_t item = begin; item < end; ++item) {
      const int64_t b = item / args.kv_heads, kv = item % args.kv_heads;
      visible.enter_row(args, b);
      pack_keys(b, kv);
      for (int64_t h = kv * group; h < (kv + 1) * group; ++h) {
        for (int64_t first = 0; first < args.queries; first += kQueryTile) {
          if (args.dropout) {
            tile<true>(b, h, first);
          } else {
            tile<false>(b, h, first);
          }
        }
      }
      // The packed queries carry log2(e), the probabilities lack the dropout factor.
      const float keep = args.dropout ? args.keep_scale : 1.0f;
      for (int64_t i = 0; i < args.keys; ++i) {
        unpack_row<V>(s.grad_k + i * padded, args.dim, kLn2, row_of<T>(args.grad_k, b, kv, i));
        unpack_row<V>(s.grad_v + i * padded, args.dim, keep, row_of<T>(args.grad_v, b, kv, i));
      }
    }
  }
};

template <class V>
int64_t backward_scratch(const AttentionArgs& args) {
  return BackwardScratch::make<V>(args, nullptr).size;
}

template <class V>
void backward(const AttentionArgs& args, int64_t begin, int64_t end, float* scratch) {
  if (args.bf16) {
    Backward<V, uint16_t>(args, scratch).run(begin, end);
  } else {
    Backward<V, float>(args, scratch).run(begin, end);
  }
}

}  // namespace
}  // namespace deepspeed::ops::cpu
