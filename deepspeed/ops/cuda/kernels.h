// Our CUDA kernels, on raw pointers of the device. Torch-free: nvcc reads no torch header. In builds without
// CUDA no_cuda.cpp takes their place. They return when the kernel is on its way, with an Error where it could
// not be.
#pragma once

#include <cstdint>

#include "deepspeed/ops/cpu/adam_kernel.h"
#include "deepspeed/ops/cpu/dropout_kernel.h"
#include "deepspeed/ops/cpu/packed_format.h"
#include "deepspeed/ops/cpu/rotary_kernel.h"

namespace deepspeed::ops::cuda {

/// A cudaStream_t of the current device.
using Stream = void*;

/// All elements of an update in FusedAdam's order of operations (constants.fused), to the bit as the CPU's
/// kernels have it.
void adam_step(const cpu::UpdateBuffers& buffers, int64_t numel, const cpu::AdamConstants& constants,
               Stream stream);

/// As cpu::DropoutKernel, to the bit, of all elements; also in fp16.
struct DropoutArgs {
  cpu::DropoutMask mask;
  const void *from, *residual;  // residual: or null
  void* to;
  cpu::Element type;
  int64_t numel;
};
void dropout(const DropoutArgs& args, Stream stream);

/// Rows [rows, width] of x, contiguous, by their root mean square (ops::rms_norm).
struct RmsNormArgs {
  const void *x, *weight;
  void* y;
  cpu::Element type, weight_type;  // of x and y, of weight
  int64_t rows, width;
  float eps;
  bool from_one;  // RmsWeight::kFromOne
};
void rms_norm(const RmsNormArgs& args, Stream stream);

/// As cpu::RotaryKernel, of the whole batch; also in fp16.
struct RotaryArgs {
  cpu::RotaryArgs turn;
  cpu::Element type;
  int64_t batch;
};
void rotary(const RotaryArgs& args, Stream stream);

/// y = activation(gate) * up, in fp32, rounded once.
struct GatedArgs {
  const void *gate, *up;
  void* y;
  cpu::Element type;
  int64_t numel;
  cpu::PackedActivation activation;
};
void gated(const GatedArgs& args, Stream stream);

/// kInt8Numbers: what the integers stand for, in fp32.
enum class RoundTo { kInt8, kInt8Numbers, kFp8 };
/// Rows of x [rows, in], contiguous, rounded to 127ths (int8) or 448ths (e4m3) of the largest |x| of each
/// group of numbers; groups below 2^-100 are zero. A NaN or an infinity makes its group's scale, and with it
/// what the group stands for, NaN or infinite.
struct RoundRowsArgs {
  const void* x;
  cpu::Element type;
  int64_t rows, in, group;
  RoundTo to;
  void* out;      // [rows, in] int8, e4m3 or fp32
  float* scales;  // [rows, groups]; null: they are not wanted
};
void round_rows(const RoundRowsArgs& args, Stream stream);

/// A quantized weight as it lies on a GPU: row after row, each filled up with zeros to a multiple of 32
/// numbers; int4 two a byte, q + 8, the first one low; fp6 six bits a byte.
struct DevicePacked {
  cpu::PackedScheme scheme;
  int64_t in, out, row_bytes;
  int64_t group, groups;        // numbers with one scale (0: the whole row), and how many of those a row has
  const uint8_t* codes;         // [out, row_bytes]
  const void *scales, *shifts;  // [out, groups] bf16; shifts: or null
  const float* bias;            // [out], or null
};

/// ops::packed_linear of rows of x [rows, in] as they are: sums, bias and what follows in fp32, rounded once.
struct FewRows {
  DevicePacked weight;
  cpu::Element type;         // of x, residual and out
  const void *x, *residual;  // residual: or null
  void* out;                 // [rows, out], or half of that where gated
  int64_t rows;
  bool gated;
  cpu::PackedActivation activation;
};
void packed_few_rows(const FewRows& args, Stream stream);

/// Rows ids[0 ... rows) of the weight (null: the first `rows`), dequantized, to out [rows, in]; NaN for one
/// that it does not have.
void packed_dequantize(const DevicePacked& weight, const int64_t* ids, int64_t rows, cpu::Element type,
                       void* out, Stream stream);

}  // namespace deepspeed::ops::cuda
