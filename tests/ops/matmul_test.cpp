#include "deepspeed/ops/matmul.h"

#include <gmock/gmock.h>

#include "deepspeed/base/error.h"
#include "fused_support.h"

namespace deepspeed::ops {
namespace {

using namespace testing_support;

at::Tensor expected(const at::Tensor& a, const at::Tensor& b) {
  return at::mm(a.to(at::kDouble), b.to(at::kDouble));
}

TEST(MatmulFp32, MultipliesEveryLayoutAndAdds) {
  for (at::ScalarType type : {at::kFloat, factor_type(at::kBFloat16, at::kBFloat16)})
    for (int64_t m : {1, 5, 64})
      for (int64_t n : {1, 7, 65})
        for (int64_t k : {1, 3, 64}) {
          SCOPED_TRACE(fmt::format("{} m={} n={} k={}", c10::toString(type), m, n, k));
          for (const at::Tensor& a :
               {values({m, k}, type), values({k, m}, type).t(), values({m, k + 5}, type).narrow(1, 2, k)})
            for (const at::Tensor& b : {values({k, n}, type, 1, 2), values({n, k}, type, 1, 2).t()}) {
              const at::Tensor out = at::full({m, n}, NAN);
              matmul_fp32(out, a, b, false);
              EXPECT_LT(error(out, expected(a, b)), 1e-5);
              matmul_fp32(out, a, b, true);
              EXPECT_LT(error(out, expected(a, b) * 2), 1e-5);
            }
        }
}

TEST(TransposedFactor, MultipliesWholeAndBrokenTiles) {
  for (at::ScalarType type : {at::kFloat, factor_type(at::kBFloat16, at::kBFloat16)})
    for (int64_t m : {1, 15, 16, 33, 200})
      for (int64_t n : {1, 16, 31, 64, 65})
        for (int64_t k : {32, 96, 40}) {
          SCOPED_TRACE(fmt::format("{} m={} n={} k={}", c10::toString(type), m, n, k));
          const at::Tensor a = values({m, k}, type), b = values({n, k}, type, 1, 2),
                           out = at::full({m, n}, NAN);
          TransposedFactor(b).multiply(out, a);
          EXPECT_LT(error(out, expected(a, b.t())), 1e-5);
        }
}

TEST(MatmulFp32, RefusesAFactorWithoutUnitStride) {
  if (factor_type(at::kBFloat16, at::kBFloat16) != at::kBFloat16)
    GTEST_SKIP() << "no bf16 products on this processor";
  const at::Tensor a = values({4, 8, 2}, at::kBFloat16).select(2, 0), b = values({8, 3}, at::kBFloat16);
  EXPECT_THROW(matmul_fp32(at::empty({4, 3}), a, b, false), base::Error);
}

}  // namespace
}  // namespace deepspeed::ops
