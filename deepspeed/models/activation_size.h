// How much memory a micro-batch's activations take in training, from the architecture alone: what the ops of
// models/layer.h keep for backward, layer by layer, and what comes on top at the worst moment.
#pragma once

#include <cstdint>

#include "deepspeed/models/arch_spec.h"

namespace deepspeed::models {

struct ActivationSetting {
  int64_t batch = 1, length = 1;  // a rank's micro-batch
  /// Bytes an element: of the residual stream, and of what matrix products read and give. They differ under
  /// autocast alone, which also keeps a cast of every weight.
  int64_t stream_bytes = 4, product_bytes = 4;
  /// bf16 factors are multiplied as copies in fp32 (base::CpuFeatures::fast_bf16 is not there).
  bool widened = false;
  bool recomputed = false;  // layers keep their inputs only (recompute/recompute.h)
  /// Share of the positions whose logits the loss reads: 1 for causal models, 0 without a vocabulary head.
  double predicted = 1;
  /// Whether the gradient of the head's weight is computed where gradients are collected.
  bool head_gradient_in_place = false;
};

/// Bytes that forward and backward of one micro-batch take at their peak beyond parameters and the collected
/// gradients of all of them. As a floating-point number, since config.json may describe anything. Within 10 %
/// of what is allocated where layers are large against a page (tests/models/activation_size_test.cpp).
double activation_bytes(const ArchSpec& spec, const ActivationSetting& setting);

}  // namespace deepspeed::models
