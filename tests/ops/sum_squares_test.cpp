#include "deepspeed/ops/sum_squares.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "deepspeed/base/error.h"
#include "deepspeed/ops/cpu/sum_squares_kernel.h"

namespace deepspeed::ops {
namespace {

using base::Isa;

at::Tensor normal(int64_t n, at::ScalarType type) {
  auto generator = at::make_generator<at::CPUGeneratorImpl>(static_cast<uint64_t>(n + 1));
  return at::randn({n}, generator, at::kFloat).to(type);
}

TEST(SumSquaresTest, MatchesFp64ArithmeticForEveryTypeAndSize) {
  for (auto type : {at::kFloat, at::kBFloat16, at::kHalf})
    for (int64_t n : {0, 1, 3, 8, 22, 31, 32, 33, 1024, 16384, 16385, (1 << 20) + 3}) {
      const at::Tensor x = normal(n, type);
      const double expected = x.to(at::kDouble).square().sum().item<double>();
      EXPECT_NEAR(sum_squares(x), expected, 1e-14 * expected) << n;
    }
}

TEST(SumSquaresTest, EveryInstructionSetGivesTheSameBits) {
  const std::pair<at::ScalarType, cpu::SumFormat> types[] = {{at::kFloat, cpu::SumFormat::kFp32},
                                                             {at::kBFloat16, cpu::SumFormat::kBf16},
                                                             {at::kHalf, cpu::SumFormat::kFp16}};
  for (Isa isa : {Isa::kAvx2, Isa::kAvx512}) {
    if (base::best_isa({isa}) != isa) continue;
    for (auto [type, format] : types)
      for (int64_t n : {1, 8, 22, 1024, 16384, 5003}) {
        const at::Tensor x = normal(n, type);
        EXPECT_EQ(cpu::sum_squares_kernel(isa)(x.const_data_ptr(), n, format),
                  cpu::sum_squares_scalar(x.const_data_ptr(), n, format))
            << base::isa_name(isa) << " " << n;
      }
  }
}

TEST(SumSquaresTest, TheNumberOfThreadsDoesNotChangeABit) {
  const at::Tensor x = normal(1'000'003, at::kFloat);
  at::set_num_threads(1);
  const double one = sum_squares(x);
  at::set_num_threads(2);
  const double two = sum_squares(x);
  at::set_num_threads(1);
  EXPECT_EQ(one, two);
}

TEST(SumSquaresTest, IsFiniteExactlyWhenEveryElementIs) {
  at::Tensor x = at::full({70'001}, std::numeric_limits<float>::max());
  EXPECT_TRUE(std::isfinite(sum_squares(x)));
  for (auto type : {at::kFloat, at::kBFloat16, at::kHalf})
    for (int64_t where : {0, 16'383, 70'000})
      for (double bad : {std::numeric_limits<double>::infinity(), -std::numeric_limits<double>::infinity(),
                         std::numeric_limits<double>::quiet_NaN()}) {
        at::Tensor y = at::ones({70'001}, type);
        y[where] = bad;
        EXPECT_FALSE(std::isfinite(sum_squares(y))) << where;
      }
}

TEST(SumSquaresTest, RefusesWhatItCannotRead) {
  EXPECT_THROW(sum_squares(at::zeros({4}, at::kLong)), base::Error);
  EXPECT_THROW(sum_squares(at::zeros({8}).slice(0, 0, 8, 2)), base::Error);
  EXPECT_THROW(sum_squares(at::Tensor()), base::Error);
}

}  // namespace
}  // namespace deepspeed::ops
