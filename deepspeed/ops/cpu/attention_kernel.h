// Attention on raw pointers, once per instruction set. Torch-free.
#pragma once

#include <cstdint>

namespace deepspeed::ops::cpu {

/// A [batch, head, row, D] array: its first element and its strides in elements; the last stride is 1.
struct HeadView {
  void* data = nullptr;
  int64_t batch = 0, head = 0, row = 0;
};

struct AttentionArgs {
  int64_t batch, heads, kv_heads, queries, keys, dim;
  bool bf16;  // element type of every view: bfloat16, else float
  bool causal;
  int64_t window;             // 0: none
  const int32_t* first_key;   // [batch, queries], rising along a row, or null: key 0
  const int32_t* end_key;     // [batch], or null: all keys
  float scale;                // of the scores
  const float* alibi_slopes;  // of each head, or null
  float softcap;              // of the scaled scores; 0: none
  HeadView q, k, v, out;
  float* log_sum_exp;  // [batch, heads, queries], base 2: log2(sum of 2^(score * log2 e))
  bool dropout;
  uint64_t seed, stream;                      // of the mask
  uint32_t drop_threshold;                    // a word below it drops
  float keep_scale;                           // 1 / (1 - p), 0 where p = 1
  HeadView grad_out, grad_q, grad_k, grad_v;  // backward only
};

/// One kernel: items [begin, end) with `scratch` floats of its own, 64-byte aligned. Forward items are
/// (batch, head), backward items (batch, kv head), so that a gradient is written by one item only.
struct AttentionKernel {
  int64_t (*forward_scratch)(const AttentionArgs&);
  void (*forward)(const AttentionArgs&, int64_t begin, int64_t end, float* scratch);
  int64_t (*backward_scratch)(const AttentionArgs&);
  void (*backward)(const AttentionArgs&, int64_t begin, int64_t end, float* scratch);
};

AttentionKernel attention_scalar();
AttentionKernel attention_avx2();
AttentionKernel attention_avx512();

}  // namespace deepspeed::ops::cpu
