#include "deepspeed/ops/gemm.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "deepspeed/base/cpu_features.h"
#include "deepspeed/base/error.h"
#include "deepspeed/ops/isa_table.h"
#include "deepspeed/ops/parallel.h"
#include "deepspeed/ops/scratch.h"

namespace deepspeed::ops {
namespace {

// Rows or columns of the result that one thread takes: enough that what every thread packs for itself does
// not count.
constexpr int64_t kShare = 112;

// Rows [begin, end) of the product, or its columns.
cpu::Gemm rows_of(cpu::Gemm g, int64_t element, int64_t begin, int64_t end) {
  g.m = end - begin;
  g.a.data = static_cast<const char*>(g.a.data) + begin * g.a.stride * element;
  if (g.add != nullptr) g.add += begin * g.add_stride;
  g.out += begin * g.out_stride;
  return g;
}

cpu::Gemm columns_of(cpu::Gemm g, int64_t element, int64_t begin, int64_t end) {
  g.n = end - begin;
  g.b.data = static_cast<const char*>(g.b.data) + begin * g.b.stride * element;
  if (g.add != nullptr) g.add += begin;
  g.out += begin;
  return g;
}

}  // namespace

const cpu::GemmKernel* gemm_kernel(at::ScalarType type) {
  static const base::Isa isa = base::cpu_features().slow_mkl ? chosen_isa("gemm") : base::Isa::kScalar;
  if (type == at::kFloat && isa >= base::Isa::kAvx512) return &cpu::kGemmFp32Avx512;
  if (type == at::kBFloat16 && isa >= base::Isa::kAvx512Bf16) return &cpu::kGemmBf16Avx512;
  return nullptr;
}

// MKL, which packs less, is faster by a tenth at 16 rows, and slower from about 64 on.
bool worth_packing(int64_t m, int64_t n) { return m >= 48 && n >= 48; }

cpu::GemmFactor gemm_factor(const at::Tensor& t) {
  const int64_t stride = t.stride(0), depth_stride = t.size(1) == 1 ? 1 : t.stride(1);
  DS_CHECK(depth_stride == 1 || stride == 1 || t.size(0) == 1,
           "matrix product: a factor has strides ({}, {}), one must be 1", stride, depth_stride);
  return {t.const_data_ptr(), depth_stride != 1 && t.size(0) == 1 ? 1 : stride, depth_stride};
}

void gemm(const cpu::GemmKernel& kernel, const cpu::Gemm& product) {
  // Both factors are packed by every thread but for its own share: the larger one is shared.
  const bool by_rows = product.packed_b != nullptr || product.m >= product.n;
  const int64_t count = by_rows ? product.m : product.n;
  parallel_ranges((count + kShare - 1) / kShare, 1, [&](int64_t begin, int64_t end) {
    const int64_t first = begin * kShare, last = std::min(count, end * kShare);
    kernel.multiply(by_rows ? rows_of(product, kernel.element_bytes, first, last)
                            : columns_of(product, kernel.element_bytes, first, last),
                    thread_scratch(kernel.scratch_bytes));
  });
}

void gemm(const cpu::GemmKernel& kernel, const at::Tensor& out, const at::Tensor& a, const at::Tensor& b,
          const at::Tensor& add) {
  gemm(kernel, {.m = a.size(0),
                .n = b.size(1),
                .k = a.size(1),
                .a = gemm_factor(a),
                .b = gemm_factor(b.t()),
                .packed_b = nullptr,
                .add = add.defined() ? add.const_data_ptr<float>() : nullptr,
                .add_stride = add.defined() && add.dim() == 2 ? add.stride(0) : 0,
                .out = out.data_ptr<float>(),
                .out_stride = out.stride(0)});
}

}  // namespace deepspeed::ops
