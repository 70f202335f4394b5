// The work of linear_cross_entropy: loss and gradients of one batch, tile by tile.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "deepspeed/ops/cpu/softmax_kernel.h"

namespace deepspeed::ops {

/// How [rows, vocabulary] logits are cut: `rows` at a time, and of these `words` at a time.
struct CrossEntropyPlan {
  int64_t rows;
  int64_t words;
};

/// Tiles of equal height, whose logits (all of the vocabulary when gradients are wanted) take at most 128 MB
/// (of 64 the products are 3 % slower), and blocks of about 1 MB, which stay in the second-level cache.
CrossEntropyPlan plan_cross_entropy(int64_t rows, int64_t vocabulary, bool gradients);

struct CrossEntropyInputs {
  at::Tensor hidden;   // [N, C]; no row of it is ignored
  at::Tensor weight;   // [V, C]
  at::Tensor labels;   // [N] int64 in [0, V), contiguous
  at::Tensor bias;     // [V], added to the logits; undefined: none
  double softcap = 0;  // c > 0: logits x become c * tanh(x / c) before the softmax
  double factor = 1;   // what the loss is to be multiplied by: the gradients are those of factor x loss / N
  at::Tensor weight_gradient{};  // [V, C] fp32, contiguous: where to leave it; undefined: anywhere
};

struct CrossEntropyResult {
  double loss = 0;    // sum over rows, without the factor
  at::Tensor hidden;  // [N, C] fp32: gradient, undefined where not wanted
  at::Tensor weight;  // [V, C] fp32, likewise
  at::Tensor bias;    // [V] fp32, where `weight` is wanted and there is a bias
};

/// Two bf16 inputs are treated as transformers treats them: logits are rounded to bf16 before the softmax,
/// which is fp32, and the gradients of the logits, factor and 1 / N included, after it.
CrossEntropyResult cross_entropy(const cpu::SoftmaxKernels& kernels, const CrossEntropyInputs& in,
                                 bool want_hidden, bool want_weight);

}  // namespace deepspeed::ops
