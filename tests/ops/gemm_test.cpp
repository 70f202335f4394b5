// Every kernel of ops/cpu/gemm_kernel.h against fp64, and the dispatch above them.
#include "deepspeed/ops/gemm.h"

#include <ATen/Parallel.h>
#include <gmock/gmock.h>

#include <cmath>
#include <vector>

#include "deepspeed/base/cpu_features.h"
#include "deepspeed/base/error.h"
#include "fused_support.h"

namespace deepspeed::ops {
namespace {

using namespace testing_support;

struct Kernel {
  const char* name;
  at::ScalarType type;
  const cpu::GemmKernel& kernel;
};

std::vector<Kernel> kernels() {
  std::vector<Kernel> all = {{"scalar fp32", at::kFloat, cpu::kGemmFp32Scalar},
                             {"scalar bf16", at::kBFloat16, cpu::kGemmBf16Scalar}};
  if (base::cpu_features().avx512) all.push_back({"avx512 fp32", at::kFloat, cpu::kGemmFp32Avx512});
  if (base::cpu_features().avx512_bf16) all.push_back({"avx512 bf16", at::kBFloat16, cpu::kGemmBf16Avx512});
  return all;
}

// Rounding of a sum of `depth` products, far below what a wrong element costs.
double bound(int64_t depth) { return 1e-5 + 1e-7 * static_cast<double>(depth); }

at::Tensor expected(const at::Tensor& a, const at::Tensor& b) {
  return at::mm(a.to(at::kDouble), b.to(at::kDouble));
}

// [rows, columns] in every order that the kernels take, with and without a gap between rows or columns.
std::vector<at::Tensor> layouts(int64_t rows, int64_t columns, at::ScalarType type, uint64_t seed) {
  return {values({rows, columns}, type, 1, seed), values({columns, rows}, type, 1, seed).t(),
          values({rows, columns + 5}, type, 1, seed).narrow(1, 2, columns),
          values({columns, rows + 3}, type, 1, seed).narrow(1, 3, rows).t()};
}

// The result lies inside a larger matrix, whose other elements must stay.
void expect_product(const Kernel& k, const at::Tensor& a, const at::Tensor& b) {
  const int64_t m = a.size(0), n = b.size(1);
  const at::Tensor whole = at::full({m + 2, n + 7}, 77.0f), out = whole.narrow(0, 1, m).narrow(1, 3, n);
  const at::Tensor bias = values({n}, at::kFloat, 1, 9), want = expected(a, b);
  gemm(k.kernel, out, a, b);
  EXPECT_LT(error(out, want), bound(a.size(1)));
  gemm(k.kernel, out, a, b, out);
  EXPECT_LT(error(out, want * 2), bound(a.size(1)));
  gemm(k.kernel, out, a, b, bias);
  EXPECT_LT(error(out, want + bias), bound(a.size(1)));
  out.fill_(77.0f);
  EXPECT_TRUE((whole == 77.0f).all().item<bool>()) << "wrote outside the result";
}

TEST(Gemm, MultipliesEveryLayoutAndAdds) {
  for (const Kernel& k : kernels())
    for (int64_t m : {1, 13, 14, 15, 40})
      for (int64_t n : {1, 15, 16, 17, 31, 33, 64})
        for (int64_t depth : {1, 2, 3, 31, 33, 64})
          for (const at::Tensor& a : layouts(m, depth, k.type, 1))
            for (const at::Tensor& b : layouts(depth, n, k.type, 2)) {
              SCOPED_TRACE(fmt::format("{} m={} n={} k={} strides {} {}", k.name, m, n, depth,
                                       fmt::join(a.strides(), ","), fmt::join(b.strides(), ",")));
              ASSERT_NO_FATAL_FAILURE(expect_product(k, a, b));
            }
}

// More than one block in every dimension, with rests.
TEST(Gemm, MultipliesWhatDoesNotFitOneBlock) {
  for (const Kernel& k : kernels()) {
    SCOPED_TRACE(k.name);
    expect_product(k, values({331, 37}, k.type), values({37, 1100}, k.type, 1, 2));
    expect_product(k, values({2111, 19}, k.type).t(), values({2111, 1037}, k.type, 1, 2));
    expect_product(k, values({17, 1027}, k.type), values({35, 1027}, k.type, 1, 2).t());
  }
}

TEST(Gemm, MultipliesAFactorThatWasPackedBefore) {
  for (const Kernel& k : kernels())
    for (int64_t n : {1, 33, 200})
      for (int64_t depth : {0, 5, 1100, 2500}) {
        SCOPED_TRACE(fmt::format("{} n={} k={}", k.name, n, depth));
        const at::Tensor a = values({45, depth}, k.type), b = values({n, depth}, k.type, 1, 2);
        const at::Tensor packed = at::empty({k.kernel.packed_bytes(n, depth)}, at::kByte),
                         out = at::full({45, n}, NAN);
        k.kernel.pack(gemm_factor(b), n, depth, packed.data_ptr());
        gemm(k.kernel,
             {45, n, depth, gemm_factor(a), {}, packed.data_ptr(), nullptr, 0, out.data_ptr<float>(), n});
        EXPECT_LT(error(out, expected(a, b.t())), bound(depth));
      }
}

TEST(Gemm, OfNoDepthIsWhatIsAdded) {
  for (const Kernel& k : kernels()) {
    const at::Tensor a = at::empty({20, 0}, k.type), b = at::empty({0, 40}, k.type);
    const at::Tensor bias = values({40}), out = at::full({20, 40}, NAN);
    gemm(k.kernel, out, a, b);
    EXPECT_TRUE((out == 0).all().item<bool>()) << k.name;
    gemm(k.kernel, out, a, b, bias);
    EXPECT_TRUE((out == bias).all().item<bool>()) << k.name;
  }
}

TEST(Gemm, PassesNotANumberAndInfinityOn) {
  for (const Kernel& k : kernels()) {
    SCOPED_TRACE(k.name);
    const at::Tensor a = values({30, 21}, k.type), b = values({21, 50}, k.type, 1, 2).abs(),
                     out = at::full({30, 50}, NAN);
    a[3][20] = NAN;
    a[29][0] = INFINITY;
    gemm(k.kernel, out, a, b);
    EXPECT_TRUE(out[3].isnan().all().item<bool>());
    EXPECT_TRUE((out[29] == INFINITY).all().item<bool>());
    out[3].zero_();
    out[29].zero_();
    EXPECT_TRUE(out.isfinite().all().item<bool>()) << "one row reached another";
    const at::Tensor c = values({30, 21}, k.type), d = values({21, 50}, k.type, 1, 2);
    d[20][49] = NAN;
    gemm(k.kernel, out, c, d);
    EXPECT_TRUE(out.select(1, 49).isnan().all().item<bool>());
    EXPECT_TRUE(out.narrow(1, 0, 49).isfinite().all().item<bool>()) << "one column reached another";
  }
}

TEST(Gemm, OfManyThreadsIsThatOfOne) {
  const int before = at::get_num_threads();
  for (const Kernel& k : kernels())
    for (const auto& [m, n] : {std::pair{500, 90}, std::pair{90, 500}}) {
      const at::Tensor a = values({m, 64}, k.type), b = values({64, n}, k.type, 1, 2), bias = values({n});
      std::vector<at::Tensor> results;
      for (int threads : {1, 3}) {
        at::set_num_threads(threads);
        results.push_back(at::full({m, n}, NAN));
        gemm(k.kernel, results.back(), a, b, bias);
        gemm(k.kernel, results.back(), a, b, results.back());
      }
      EXPECT_TRUE(at::equal(results[0], results[1])) << k.name;
    }
  at::set_num_threads(before);
}

TEST(Gemm, RefusesAFactorWithoutUnitStride) {
  EXPECT_THROW(gemm_factor(values({4, 8, 2}).select(2, 0)), base::Error);
}

TEST(Gemm, IsUsedWhereLibrariesAreSlowAlone) {
  const bool slow = base::cpu_features().slow_mkl;
  using base::Isa;
  const Isa best = base::best_isa({Isa::kScalar, Isa::kAvx512, Isa::kAvx512Bf16});
  EXPECT_EQ(gemm_kernel(at::kFloat) != nullptr, slow && best >= Isa::kAvx512);
  EXPECT_EQ(gemm_kernel(at::kBFloat16) != nullptr, slow && best >= Isa::kAvx512Bf16);
  EXPECT_EQ(gemm_kernel(at::kDouble), nullptr);
}

}  // namespace
}  // namespace deepspeed::ops
