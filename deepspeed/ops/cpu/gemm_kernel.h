// Matrix products with fp32 sums and results on packed panels, fp32 or bf16 factors. Torch-free.
#pragma once

#include <cstdint>

namespace deepspeed::ops::cpu {

/// A factor in memory: `count` rows (of a) or columns (of b), each `depth` elements deep. Element (i, k) is
/// at i * stride + k * depth_stride; one of the strides is 1.
struct GemmFactor {
  const void* data;
  int64_t stride, depth_stride;
};

/// out[m, n] = a[m, k] b[k, n], plus `add` where given; rows of out have unit stride. `add` is out itself, or
/// a row for all of them (add_stride 0), or any matrix that out does not overlap otherwise.
struct Gemm {
  int64_t m, n, k;
  GemmFactor a, b;
  const void* packed_b;  // what `pack` made of b, whose data is then not read; or null
  const float* add;
  int64_t add_stride;
  float* out;
  int64_t out_stride;
};

/// The product for one type of factors and one instruction set.
struct GemmKernel {
  int64_t element_bytes;  // of a factor
  /// Bytes of scratch, aligned to 64, that a call of `multiply` needs on its thread, whatever the sizes.
  int64_t scratch_bytes;
  /// Bytes that `pack` writes for b [k, n]: all of it, once, for several products. Aligned to 64.
  int64_t (*packed_bytes)(int64_t n, int64_t k);
  void (*pack)(const GemmFactor& b, int64_t n, int64_t k, void* packed);
  void (*multiply)(const Gemm& args, void* scratch);
};

extern const GemmKernel kGemmFp32Scalar, kGemmFp32Avx512;
extern const GemmKernel kGemmBf16Scalar, kGemmBf16Avx512;  // the latter by vdpbf16ps

}  // namespace deepspeed::ops::cpu
