// Rounding that knows what inputs look like, against rounding for itself.
#include "deepspeed/ops/gptq.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "deepspeed/base/error.h"
#include "fused_support.h"

namespace deepspeed::ops {
namespace {

using namespace testing_support;
using enum PackedScheme;

// Inputs [rows, in] that go together, as those of real layers do: mixtures of a few directions, some far
// larger than the others.
at::Tensor inputs(int64_t rows, int64_t in, uint64_t seed) {
  const at::Tensor directions = values({in / 4, in}, at::kFloat, 1, 77);
  const at::Tensor sizes = at::logspace(0, -2, in / 4);
  return at::mm(values({rows, in / 4}, at::kFloat, 1, seed) * sizes, directions) +
         values({rows, in}, at::kFloat, 0.01, seed + 1);
}

double error_of(const WeightCodes& codes, const PackOptions& options, const at::Tensor& w,
                const at::Tensor& x) {
  const at::Tensor back = PackedWeight::from_codes(codes, options).dequantize();
  return at::mm(x, (back - w).t()).square().mean().item<double>();
}

TEST(Gptq, CostsOutputsLessThanRoundingEachNumber) {
  const at::Tensor w = values({48, 160}, at::kFloat, 0.05, 3), seen = inputs(2000, 160, 5);
  const at::Tensor others = inputs(500, 160, 9);  // not those it was calibrated with
  for (const PackOptions& options :
       std::vector<PackOptions>{{.scheme = kInt4},
                                {.scheme = kInt4, .asymmetric = true},
                                {.scheme = kInt4, .group = 0},
                                {.scheme = kInt4, .group = 128, .asymmetric = true},
                                {.scheme = kFp6},
                                {.scheme = kInt8}}) {
    const WeightCodes codes = gptq_codes(w, at::mm(seen.t(), seen), options);
    const double plain = error_of(PackedWeight::pack(w, options).codes(), options, w, others);
    EXPECT_LT(error_of(codes, options, w, others), 0.5 * plain)
        << scheme_name(options.scheme) << " " << options.group.value_or(-1) << " " << options.asymmetric;
  }
}

// Without anything to make up for, a group's numbers are rounded to its nearest codes.
TEST(Gptq, InputsThatDoNotGoTogetherAreRoundedForThemselves) {
  const at::Tensor w = values({20, 100}, at::kFloat, 0.05, 3);
  const PackOptions options{.scheme = kInt4};
  for (const at::Tensor& moments : {at::eye(100) * 7, at::zeros({100, 100})}) {
    const WeightCodes codes = gptq_codes(w, moments, options);
    EXPECT_TRUE(at::equal(codes.codes, PackedWeight::pack(w, options).codes().codes));
  }
}

TEST(Gptq, RefusesWhatDoesNotFit) {
  const at::Tensor w = values({20, 64});
  EXPECT_THROW(gptq_codes(w, at::eye(63), {.scheme = kInt4}), base::Error);
  EXPECT_THROW(gptq_codes(w, at::eye(64), {.scheme = kBf16}), base::Error);
  EXPECT_THROW(gptq_codes(w, at::full({64, 64}, NAN), {.scheme = kInt4}), base::Error);
}

}  // namespace
}  // namespace deepspeed::ops
