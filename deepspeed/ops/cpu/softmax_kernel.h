// The softmax inside linear_cross_entropy, on raw pointers, once per instruction set. Torch-free.
// A block holds the logits of `vocabulary` consecutive words for `rows` samples, transposed:
// logits[word][row]. A lane is a sample, so that nothing is summed across lanes.
#pragma once

#include <cstdint>

#include "deepspeed/ops/cpu/element.h"

namespace deepspeed::ops::cpu {

/// Logits become exp(logit - m), where m[row] is the largest logit so far; row_max becomes m, row_sum the sum
/// of exp(logit - m) so far, and block_max keeps m as it was for this block. With `bf16` the logits are
/// rounded to bf16 first.
struct ExpBlock {
  int64_t vocabulary, rows;
  bool bf16;
  float* logits;     // [vocabulary, rows]
  float* row_max;    // [rows], -infinity before the first block
  float* row_sum;    // [rows], 0 before the first block
  float* block_max;  // [rows]
};

/// Once the last block is known: gradients = exps exp(block_max - row_max) row_scale.
struct ScaleBlock {
  int64_t vocabulary, rows;
  const float* exps;  // as ExpBlock left them
  const float* block_max;
  const float* row_max;
  const float* row_scale;
  Element element;
  void* gradients;  // [vocabulary, rows] of `element`; may be `exps`
};

/// One instruction set's kernels; each works on rows (columns of the block) [begin, end).
struct SoftmaxKernels {
  void (*exp_block)(const ExpBlock&, int64_t begin, int64_t end);
  void (*scale_block)(const ScaleBlock&, int64_t begin, int64_t end);
};

extern const SoftmaxKernels kSoftmaxScalar, kSoftmaxAvx2, kSoftmaxAvx512;

}  // namespace deepspeed::ops::cpu
