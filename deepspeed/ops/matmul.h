// Matrix products whose sums and results are fp32, whatever the factors.
#pragma once

#include <ATen/core/Tensor.h>

namespace deepspeed::ops {

/// The type to give two factors of types a and b so that matmul_fp32 multiplies them best: bf16 when both are
/// bf16 and this processor multiplies bf16 faster than fp32, else fp32.
at::ScalarType factor_type(at::ScalarType a, at::ScalarType b);

/// out = a @ b, or out += a @ b. out [M, N] is fp32 with unit stride along N; a [M, K] and b [K, N] are both
/// fp32 or both bf16, with unit stride in either dimension. No gradients.
void matmul_fp32(const at::Tensor& out, const at::Tensor& a, const at::Tensor& b, bool accumulate);

/// b^T as the right factor of several products, brought once into the order in which they read it.
class TransposedFactor {
 public:
  /// b [N, K], contiguous, fp32 or bf16.
  explicit TransposedFactor(at::Tensor b);
  /// out [M, N] = a [M, K] @ b^T; out is fp32, a is of b's type; both contiguous.
  void multiply(const at::Tensor& out, const at::Tensor& a) const;

 private:
  at::Tensor b_;
  at::Tensor packed_;  // undefined where matmul_fp32 does the work
};

}  // namespace deepspeed::ops
