#include "deepspeed/ops/matmul.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <utility>

#include "deepspeed/base/cpu_features.h"
#include "deepspeed/base/error.h"
#include "deepspeed/ops/cpu/bf16_product_kernel.h"
#include "deepspeed/ops/gemm.h"
#include "deepspeed/ops/isa_table.h"

// MKL's, which libtorch_cpu exports but has no header for. Weak: a libtorch without MKL has none.
extern "C" __attribute__((weak)) void cblas_gemm_bf16bf16f32(int layout, int trans_a, int trans_b, int m,
                                                             int n, int k, float alpha, const void* a,
                                                             int lda, const void* b, int ldb, float beta,
                                                             float* c, int ldc);

namespace deepspeed::ops {
namespace {

constexpr int kRowMajor = 101, kNoTrans = 111, kTrans = 112;

struct Operand {
  int trans;
  int leading;
};

// A dimension of size 1 may have any stride: BLAS wants the leading one to be at least the other dimension's
// size.
Operand operand(const at::Tensor& t) {
  const bool rows_contiguous = t.stride(1) == 1 || t.size(1) == 1;
  if (rows_contiguous && (t.size(0) == 1 || t.stride(0) >= t.size(1)))
    return {kNoTrans, static_cast<int>(t.size(0) == 1 ? t.size(1) : t.stride(0))};
  DS_CHECK(t.stride(0) == 1 || t.size(0) == 1, "matmul_fp32: a factor has strides ({}, {}), one must be 1",
           t.stride(0), t.stride(1));
  return {kTrans, static_cast<int>(t.size(1) == 1 ? t.size(0) : t.stride(1))};
}

}  // namespace

at::ScalarType factor_type(at::ScalarType a, at::ScalarType b) {
  const bool native = gemm_kernel(at::kBFloat16) != nullptr ||
                      (cblas_gemm_bf16bf16f32 != nullptr && base::cpu_features().fast_bf16);
  return a == at::kBFloat16 && b == at::kBFloat16 && native ? at::kBFloat16 : at::kFloat;
}

void matmul_fp32(const at::Tensor& out, const at::Tensor& a, const at::Tensor& b, bool accumulate) {
  const bool fp32 = a.scalar_type() == at::kFloat;
  const cpu::GemmKernel* own = gemm_kernel(a.scalar_type());
  if (own != nullptr && (!fp32 || worth_packing(a.size(0), b.size(1))))
    return gemm(*own, out, a, b, accumulate ? out : at::Tensor());
  if (fp32) {
    at::Tensor result = out;
    if (accumulate)
      at::addmm_out(result, result, a, b);
    else
      at::mm_out(result, a, b);
    return;
  }
  const Operand x = operand(a), y = operand(b);
  const int m = static_cast<int>(a.size(0)), n = static_cast<int>(b.size(1)), k = static_cast<int>(a.size(1));
  cblas_gemm_bf16bf16f32(kRowMajor, x.trans, y.trans, m, n, k, 1.0f, a.const_data_ptr(), x.leading,
                         b.const_data_ptr(), y.leading, accumulate ? 1.0f : 0.0f, out.data_ptr<float>(),
                         static_cast<int>(out.stride(0)));
}

TransposedFactor::TransposedFactor(at::Tensor b) : b_(std::move(b)) {
  static const bool amx = chosen_isa("bf16_product") == base::Isa::kAmx;
  const int64_t n = b_.size(0), k = b_.size(1);
  if (const cpu::GemmKernel* own = gemm_kernel(b_.scalar_type())) {
    const int64_t bytes = own->packed_bytes(n, k);
    packed_ = at::empty({bytes}, b_.options().dtype(at::kByte));
    own->pack(gemm_factor(b_), n, k, packed_.data_ptr());
    return;
  }
  if (!amx || b_.scalar_type() != at::kBFloat16 || k % cpu::kAmxDepth != 0) return;
  packed_ = at::empty({cpu::packed_bf16_size(n, k)}, b_.options());
  cpu::pack_bf16_amx(static_cast<const uint16_t*>(b_.const_data_ptr()), k, n, k,
                     static_cast<uint16_t*>(packed_.data_ptr()));
}

void TransposedFactor::multiply(const at::Tensor& out, const at::Tensor& a) const {
  if (!packed_.defined()) return matmul_fp32(out, a, b_.t(), false);
  const int64_t m = a.size(0), k = a.size(1), n = b_.size(0);
  if (const cpu::GemmKernel* own = gemm_kernel(b_.scalar_type()))
    return gemm(*own, {.m = m,
                       .n = n,
                       .k = k,
                       .a = gemm_factor(a),
                       .b = {},
                       .packed_b = packed_.const_data_ptr(),
                       .add = nullptr,
                       .add_stride = 0,
                       .out = out.data_ptr<float>(),
                       .out_stride = n});
  const cpu::Bf16Product args{m,
                              n,
                              k,
                              static_cast<const uint16_t*>(a.const_data_ptr()),
                              k,
                              static_cast<const uint16_t*>(packed_.const_data_ptr()),
                              out.data_ptr<float>(),
                              n};
  constexpr int64_t kRowsPerThread = 64;
  at::parallel_for(0, (m + kRowsPerThread - 1) / kRowsPerThread, 1, [&](int64_t begin, int64_t end) {
    cpu::bf16_product_amx(args, begin * kRowsPerThread, std::min(m, end * kRowsPerThread));
  });
}

}  // namespace deepspeed::ops
