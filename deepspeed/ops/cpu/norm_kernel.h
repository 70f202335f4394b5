// Layer and RMS normalisation of rows on raw pointers, once per instruction set. Torch-free.
#pragma once

#include <cstdint>

#include "deepspeed/ops/cpu/element.h"

namespace deepspeed::ops::cpu {

/// y, x: [rows, cols] of `element`; weight, bias (null: none): [cols]; mean, rstd (null: not kept): [rows].
struct NormForward {
  Element element;
  int64_t cols;
  float eps;
  const void* x;
  const float* weight;
  const float* bias;
  void* y;
  float* mean;  // not touched by the RMS norm
  float* rstd;
};

/// x, dy, dx (null: not wanted): [rows, cols] of `element`; dweight, dbias (null: not wanted): [cols], added
/// to.
struct NormBackward {
  Element element;
  int64_t cols;
  const void* x;
  const void* dy;
  const float* weight;
  const float* mean;
  const float* rstd;
  void* dx;
  float* dweight;
  float* dbias;
};

/// One instruction set's kernels; each works on rows [begin, end).
struct NormKernels {
  void (*layer_norm)(const NormForward&, int64_t begin, int64_t end);
  void (*layer_norm_backward)(const NormBackward&, int64_t begin, int64_t end);
  void (*rms_norm)(const NormForward&, int64_t begin, int64_t end);
  void (*rms_norm_backward)(const NormBackward&, int64_t begin, int64_t end);
  // Rounding nothing before the weight.
  void (*rms_norm_wide)(const NormForward&, int64_t begin, int64_t end);
  void (*rms_norm_wide_backward)(const NormBackward&, int64_t begin, int64_t end);
};

extern const NormKernels kNormScalar, kNormAvx2, kNormAvx512;

}  // namespace deepspeed::ops::cpu
