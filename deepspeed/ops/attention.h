// Scaled dot-product attention that never holds a T x T matrix, with dropout, grouped queries, sliding
// windows, linear biases and caches. With a bias of scores it does hold one.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>

#include "deepspeed/accel/rng.h"

namespace deepspeed::ops {

struct AttentionOptions {
  bool causal = true;
  std::optional<double> scale;  // of the scores; 1/sqrt(D) when absent
  double dropout_p = 0;         // of the probabilities, in [0, 1]
  accel::RngKey rng{};          // the stream of the dropout mask; unused when dropout_p is 0
  int64_t window = 0;           // 0: every key; else only keys less than `window` positions away
  at::Tensor first_key{};       // int32 [B,T], the first key each query may see; undefined: key 0
  at::Tensor end_key{};         // int32 [B], keys from there on are hidden; undefined: none is
  at::Tensor alibi_slopes{};    // float32 [H]: adds slope * (s - position) to the scores; undefined: no bias
  double softcap = 0;           // c > 0: scaled scores x become c * tanh(x / c)
  at::Tensor bias{};            // [1 or B,H,T,S], added to the scaled scores; undefined: none
};

/// softmax(scale * q k^T) v, query head h reading key head h / (H / Hkv).
///
/// q is [B,H,T,D], k and v are [B,Hkv,S,D] with H % Hkv == 0 and S >= T; query t stands at position S-T+t, so
/// that with a key-value cache the last T keys are the queries' own. Without `causal`, `window` and alibi
/// positions do not matter, and S may be smaller: the keys may be those of another sequence. With `causal` a
/// query sees keys up to its position, with `window` w only keys s where |position - s| < w. float32,
/// bfloat16 or float16, the same for all three; sums are float32 always. Strides are free where the last one
/// is 1 (slices of a fused [B,T,3,H,D] projection are read in place). Returns [B,H,T,D] of q's dtype over
/// memory laid out as [B,T,H,D]: transpose(1, 2).reshape({B, T, H*D}) copies nothing.
///
/// Documents packed into one row see only themselves by `first_key` (causal only): query (b, t) sees no key
/// before first_key[b, t], which must not fall along t nor pass t's own position. Tiles of hidden keys are
/// not computed, so that the time falls with the documents' length.
/// Padding at the end of rows is hidden by `end_key`: no query of row b sees keys end_key[b] ... S-1, which
/// get no gradient; end_key lies in [1, S]. It does not go with `window` or `first_key`, by which a query
/// could be left without any key. Alibi: slope * (s - position) is added to the scaled score of key s; the
/// slopes get no gradient. A softcap acts on scaled scores, and does not go with alibi.
///
/// `bias`, of any floating type, is added to the scaled scores and gets a gradient; such scores exist whole.
/// It does not go with a softcap.
///
/// Dropout: probability (b, h, t, s) is kept where accel::uniform(rng, attention_mask_index(...)) >=
/// dropout_p and then divided by 1 - dropout_p; dropout_p = 1 gives zeros. The mask is computed again in
/// backward. Differentiable once; keeps q, k, v, the result and one float per query (log-sum-exp). NaN and
/// infinities act on every query that sees them as in softmax; in v they may also reach, as NaN, queries that
/// do not see them (0 * inf), as in a T x T product.
/// Under autocast (accel/autocast.h) q, k and v are cast first.
/// Errors: base::Error for wrong shapes, dtypes, devices, p outside [0, 1].
/// Source: Dao, "FlashAttention-2" (2023); Press et al., "Train Short, Test Long" (2022) for alibi; mirrors
/// the training attention of DeepSpeed's csrc/transformer.
at::Tensor attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                     const AttentionOptions& options = {});

/// attention() of a fused projection qkv [B,T,3*H*D] (all queries, then keys, then values, as GPT-2 stores
/// them), T = S, one gradient of the same shape: the same bits as slicing, without gathering three gradients.
/// Returns [B,T,H*D].
at::Tensor attention_fused(const at::Tensor& qkv, int64_t heads, const AttentionOptions& options = {});

/// The slopes of BLOOM's heads, float32 [heads]: a geometric sequence from 2^(-8/n) for n = heads rounded
/// down to a power of two, and for the remaining heads every other value of the sequence of 2n.
at::Tensor alibi_slopes(int64_t heads);

/// The element of the random stream that decides probability (row = (b*H + h)*T + t, key s of `keys`): rows
/// are padded to a multiple of 16 elements.
constexpr uint64_t attention_mask_index(uint64_t row, uint64_t s, uint64_t keys) {
  return row * ((keys + 15) / 16 * 16) + s;
}

}  // namespace deepspeed::ops
