// Products by packed weights on raw pointers, once per instruction set. Torch-free.
#pragma once

#include <cstdint>

#include "deepspeed/ops/cpu/element.h"
#include "deepspeed/ops/cpu/packed_format.h"

namespace deepspeed::ops::cpu {

/// Rows of x in fixed point, one scale for every PackedFormat::x_group() numbers: x = scale * X. |X| is at
/// most 32512, or 127 for kInt8Dynamic; all zero, with a scale of NaN, where a group holds an infinity or a
/// NaN. The order of the words is the kernel's own.
struct CodedRows {
  int32_t* words = nullptr;  // [rows][PackedKernels::words(format)]
  float* scales = nullptr;   // [rows][x_groups]
  int32_t* sums = nullptr;   // [rows][x_groups]: PackedFormat::offset() times the sum of X
};

/// out[row] = activation(x[row] W^T + bias) (times the ups where the weight is gated) + residual[row].
struct PackedProduct {
  PackedFormat format;
  const uint8_t* codes = nullptr;
  const uint16_t* scales = nullptr;
  const float* bias = nullptr;  // [panels * 16], or null
  int64_t rows = 0;

  // x, in the one form that the kernel takes.
  CodedRows coded{};                 // few, quantized
  const float* x = nullptr;          // fp32 and bf16: from widen(); or words of two bf16
  const uint16_t* x_bf16 = nullptr;  // tiles: [rows filled up to 16][x_stride]
  const uint8_t* x_bytes = nullptr;  // int8 tiles, as x_bf16; scales and sums are in `coded`
  int64_t x_stride = 0;              // elements a row; words, where they are pairs

  PackedActivation activation = PackedActivation::kNone;
  Element element = Element::kFp32;  // of residual and out: fp32 or bf16
  const void* residual = nullptr;    // or null
  int64_t residual_stride = 0;
  void* out = nullptr;
  int64_t out_stride = 0;
};

constexpr int64_t kPackedRowStep = 48;  // a multiple of what every kernel takes at a time

/// One instruction set's kernels. They write the columns of pairs [begin, end) of panels.
struct PackedKernels {
  /// Words that a row of x takes.
  int64_t (*words)(const PackedFormat&);
  /// Codes rows [begin, end) of x, of fp32 or bf16.
  void (*code)(const PackedFormat&, Element, const void* x, int64_t x_stride, const CodedRows&, int64_t begin,
               int64_t end);
  /// Rows that multiply() takes at a time from what widen() makes.
  int64_t rows_at_once;
  /// Blocks [begin, end) of rows of x in fp32, rounded to bf16 if `round` says so and filled up with zeros to
  /// `width`: the blocks of rows_at_once rows, or what is left of them, one after the other, each
  /// [width][rows].
  void (*widen)(Element, const void* x, int64_t x_stride, int64_t rows, int64_t in, bool round, float* out,
                int64_t width, int64_t begin, int64_t end);
  /// Rows [begin, end) of x in bf16, filled up with zeros to `out_stride`.
  void (*narrow)(Element, const void* x, int64_t x_stride, int64_t in, uint16_t* out, int64_t out_stride,
                 int64_t begin, int64_t end);
  /// Rows [row_begin, row_end), which begins at a multiple of kPackedRowStep.
  void (*multiply)(const PackedProduct&, int64_t begin, int64_t end, int64_t row_begin, int64_t row_end);
};

extern const PackedKernels kPackedScalar, kPackedAvx2, kPackedAvx512, kPackedAvx512Vnni, kPackedAvx512Vbmi;

/// Products of bf16 by AVX-512's dot products of pairs. x in bf16: two numbers a word, the words laid out as
/// those of fp32 are by the widen() of any kernels of AVX-512.
void packed_bf16_pairs(const PackedProduct&, int64_t begin, int64_t end, int64_t row_begin, int64_t row_end);

/// Products of many rows on AMX tiles, rows [row_begin, row_end) of them, which begins at a multiple of 32.
/// The caller's thread must not hold tiles of its own.
/// x in bf16; weights that are not are decoded to bf16 in `scratch`, of packed_amx_scratch(format) bytes.
void packed_bf16_amx(const PackedProduct&, int64_t begin, int64_t end, int64_t row_begin, int64_t row_end,
                     void* scratch);
constexpr int64_t packed_amx_scratch(const PackedFormat& f) {
  return f.scheme == PackedScheme::kBf16 ? 0 : f.padded_in() * 2 * kPanel * 2;
}
/// kInt8Dynamic with a scale a row, or groups of multiples of 64.
void packed_int8_amx(const PackedProduct&, int64_t begin, int64_t end, int64_t row_begin, int64_t row_end);

}  // namespace deepspeed::ops::cpu
