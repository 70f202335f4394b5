// Packed weights and the products by them, every path that this processor runs against fp64.
#include "deepspeed/ops/packed_linear.h"

#include <ATen/Parallel.h>
#include <gmock/gmock.h>

#include <cmath>
#include <limits>

#include "deepspeed/base/cpu_features.h"
#include "deepspeed/base/env.h"
#include "deepspeed/base/error.h"
#include "deepspeed/ops/packed_codes.h"
#include "deepspeed/ops/packed_paths.h"
#include "deepspeed/ops/reference/packed_linear.h"
#include "fused_support.h"

namespace deepspeed::ops {
namespace {

using namespace testing_support;
using enum PackedScheme;
using testing::HasSubstr;

constexpr float kInf = std::numeric_limits<float>::infinity(), kNan = std::numeric_limits<float>::quiet_NaN();

struct Case {
  PackedScheme scheme;
  std::optional<int64_t> group;
  bool asymmetric = false;
};
const std::vector<Case> kCases = {{kFp32, {}},
                                  {kBf16, {}},
                                  {kInt8, 0},
                                  {kInt8, 32},
                                  {kInt8, 128},
                                  {kInt8Dynamic, 0},
                                  {kInt4, 32},
                                  {kInt8Dynamic, 64},
                                  {kInt8Dynamic, 96},
                                  {kInt4, 0},
                                  {kFp6, 0},
                                  {kFp6, 64},
                                  {kInt4, 32, true},
                                  {kInt4, 0, true},
                                  {kInt8, 64, true},
                                  {kInt8, 0, true},
                                  {kInt8Dynamic, 0, true},
                                  {kInt8Dynamic, 64, true}};

std::string text(const Case& c) {
  return fmt::format("{}{} group {}", c.asymmetric ? "asymmetric " : "", scheme_name(c.scheme),
                     c.group.value_or(-1));
}

PackedWeight packed(const Case& c, const at::Tensor& weight, bool gated = false,
                    const std::optional<at::Tensor>& bias = std::nullopt) {
  return PackedWeight::pack(weight, {c.scheme, c.group, gated, c.asymmetric}, WeightOrder::kOutIn, bias);
}

// A few numbers far larger than the rest, as activations have them.
at::Tensor with_outliers(at::IntArrayRef sizes, at::ScalarType type, uint64_t seed = 1) {
  const at::Tensor x = values(sizes, at::kFloat, 1, seed);
  return at::where(values(sizes, at::kFloat, 1, seed + 7) > 2.2, x * 50, x).to(type);
}

bool on_tiles(const PackedPath& path) { return path.kind == PackedPath::kBf16Tiles; }

// |y - exact| against what rounding may cost: in the sums, and once to the result's type.
void expect_within_bound(const PackedPath& path, const at::Tensor& x, const PackedWeight& w) {
  const at::Tensor y = packed_linear_by(path, x, w).to(at::kDouble), exact = reference::packed_linear(x, w);
  const double last = x.scalar_type() == at::kBFloat16 ? 0x1p-8 : 0x1p-24;
  const at::Tensor bound = reference::packed_sum_bound(x, w, on_tiles(path));
  const at::Tensor allowed = bound + (exact.abs() + bound) * last * 2 + 1e-30;
  const double worst = ((y - exact).abs() / allowed).max().item<double>();
  EXPECT_LE(worst, 1.0);
}

TEST(PackedLinear, EveryPathStaysWithinTheRoundingOfItsScheme) {
  const std::vector<std::array<int64_t, 3>> sizes = {
      {1, 1, 1},     {1, 640, 33},  {2, 31, 17},  {3, 33, 3},  {5, 64, 16},   {8, 100, 64},
      {13, 129, 40}, {16, 320, 48}, {17, 65, 31}, {31, 1, 65}, {33, 200, 96}, {70, 384, 129}};
  for (const Case& c : kCases)
    for (const auto& [rows, in, out] : sizes) {
      const PackedWeight w = packed(c, values({out, in}, at::kFloat, 0.05, 3));
      for (const PackedPath& path : packed_paths(w.format()))
        for (at::ScalarType type : {at::kFloat, at::kBFloat16}) {
          SCOPED_TRACE(fmt::format("{} by {}, {} rows, in {}, out {}, {}", text(c), path.name, rows, in, out,
                                   c10::toString(type)));
          expect_within_bound(path, with_outliers({rows, in}, type), w);
        }
    }
}

TEST(PackedLinear, MultipliesPairsOfBf16WhereThatIsFast) {
  const base::CpuFeatures& cpu = base::cpu_features();
  if (base::env("DS_FORCE_ISA")) GTEST_SKIP() << "DS_FORCE_ISA limits the choice";
  for (int64_t rows : {1, 40}) {
    const PackedWeight w = packed({kBf16, {}}, values({40, 64}));
    EXPECT_EQ(packed_path(w.format(), rows).kind == PackedPath::kBf16Pairs, cpu.fast_bf16 && !cpu.amx_bf16);
  }
}

TEST(PackedLinear, TakesAPathOfThisProcessor) {
  for (const Case& c : kCases)
    for (int64_t rows : {1, 4, 12, 40, 300}) {
      SCOPED_TRACE(fmt::format("{} {} rows", text(c), rows));
      const PackedWeight w = packed(c, values({70, 130}));
      const PackedPath path = packed_path(w.format(), rows);
      const at::Tensor x = values({2, rows, 130}, at::kFloat, 1, 5);
      const at::Tensor y = packed_linear(x[0], w);
      EXPECT_TRUE(at::equal(y, packed_linear_by(path, x[0], w)));
      expect_within_bound(path, x[0], w);
      EXPECT_EQ(packed_linear(x, w).sizes(), at::IntArrayRef({2, rows, 70}));
    }
}

// Which rows there are beside one decides which kernel multiplies it, never its bits; AMX is another matter.
TEST(PackedLinear, ARowsBitsDoNotDependOnTheOtherRows) {
  for (const Case& c : kCases) {
    const PackedWeight w = packed(c, values({50, 200}));
    const at::Tensor x = values({29, 200}, at::kFloat, 1, 4);
    for (const PackedPath& path : packed_paths(w.format())) {
      const at::Tensor all = packed_linear_by(path, x, w);
      for (int64_t row : {0, 11, 28})
        EXPECT_TRUE(at::equal(packed_linear_by(path, x.narrow(0, row, 1), w)[0], all[row]))
            << text(c) << " by " << path.name;
    }
  }
}

TEST(PackedLinear, ThreadsDoNotChangeBits) {
  for (const Case& c : kCases) {
    const PackedWeight w = packed(c, values({300, 512}));
    const at::Tensor x = values({150, 512}, at::kFloat, 1, 4);
    for (const PackedPath& path : packed_paths(w.format())) {
      at::set_num_threads(1);
      const at::Tensor one = packed_linear_by(path, x, w);
      at::set_num_threads(3);
      EXPECT_TRUE(at::equal(packed_linear_by(path, x, w), one)) << text(c) << " by " << path.name;
      at::set_num_threads(1);
    }
  }
}

// So many that every thread has chunks of its own, the last one short, gives what a few at a time give.
TEST(PackedLinear, ManyRowsAreTheirPartsProducts) {
  constexpr int64_t kRows = 1155, kIn = 640, kPart = 59;
  for (const Case& c : {Case{kFp32, {}}, Case{kBf16, {}}, Case{kInt8Dynamic, 0}}) {
    const PackedWeight w =
        packed(c, values({96, kIn}, at::kFloat, 0.05), true, values({96}, at::kFloat, 1, 8));
    for (at::ScalarType type : {at::kFloat, at::kBFloat16}) {
      const at::Tensor x = values({kRows, kIn + 6}, type, 1, 4).narrow(1, 2, kIn),
                       residual = values({kRows, w.width()}, type, 1, 6);
      for (const PackedPath& path : packed_paths(w.format())) {
        std::vector<at::Tensor> parts;
        for (int64_t row = 0; row < kRows; row += kPart) {
          const int64_t count = std::min(kPart, kRows - row);
          parts.push_back(packed_linear_by(path, x.narrow(0, row, count), w,
                                           {PackedActivation::kSilu, residual.narrow(0, row, count)}));
        }
        for (int threads : {1, 3}) {
          at::set_num_threads(threads);
          EXPECT_TRUE(
              at::equal(packed_linear_by(path, x, w, {PackedActivation::kSilu, residual}), at::cat(parts)))
              << text(c) << " by " << path.name << ", " << c10::toString(type) << ", " << threads
              << " threads";
        }
        at::set_num_threads(1);
      }
    }
  }
}

TEST(PackedLinear, BiasActivationGateAndResidualFollowTheSums) {
  for (const Case& c : kCases)
    for (int64_t half : {1, 16, 21, 40})
      for (bool gated : {false, true}) {
        const at::Tensor weight = values({2 * half, 96}, at::kFloat, 0.2),
                         bias = values({2 * half}, at::kFloat, 1, 8);
        const PackedWeight w = packed(c, weight, gated, bias);
        EXPECT_TRUE(at::equal(w.bias(), bias));
        for (const PackedPath& path : packed_paths(w.format()))
          for (at::ScalarType type : {at::kFloat, at::kBFloat16})
            for (PackedActivation a : {PackedActivation::kGeluTanh, PackedActivation::kGeluErf,
                                       PackedActivation::kSilu, PackedActivation::kRelu}) {
              SCOPED_TRACE(
                  fmt::format("{} by {}, {} outputs, gated {}", text(c), path.name, 2 * half, gated));
              const at::Tensor x = values({19, 96}, type, 1, 5),
                               residual = values({19, w.width()}, type, 1, 6);
              const at::Tensor y = packed_linear_by(path, x, w, {a, residual});
              const at::Tensor want = reference::packed_linear(x, w, {a, residual});
              // The sums' own error, which gates multiply by ups of about 5.
              const double sums = reference::packed_sum_bound(x, w, on_tiles(path)).max().item<double>();
              ASSERT_LT(error(y, want), 12 * sums + 2 * tolerance(type));
            }
      }
}

TEST(PackedLinear, ReadsWeightsOfAnyOrderAndType) {
  const at::Tensor weight = values({33, 70}, at::kBFloat16, 0.3);
  for (const Case& c : kCases) {
    const at::Tensor want = packed(c, weight.to(at::kFloat)).dequantize();
    const PackOptions options{c.scheme, c.group, false, c.asymmetric};
    EXPECT_TRUE(at::equal(PackedWeight::pack(weight, options).dequantize(), want));
    EXPECT_TRUE(at::equal(
        PackedWeight::pack(weight.t().contiguous(), options, WeightOrder::kInOut).dequantize(), want));
    EXPECT_TRUE(at::equal(PackedWeight::pack(weight.to(at::kHalf).to(at::kFloat), options).dequantize(),
                          PackedWeight::pack(weight.to(at::kHalf), options).dequantize()));
  }
}

TEST(PackedLinear, ReadsRowsOfAnyStride) {
  const at::Tensor whole = values({40, 90});
  for (const Case& c : kCases) {
    const PackedWeight w = packed(c, values({20, 64}));
    for (const PackedPath& path : packed_paths(w.format())) {
      const at::Tensor part = whole.narrow(1, 5, 64), turned = values({64, 40}).t();
      EXPECT_TRUE(at::equal(packed_linear_by(path, part, w), packed_linear_by(path, part.contiguous(), w)));
      EXPECT_TRUE(
          at::equal(packed_linear_by(path, turned, w), packed_linear_by(path, turned.contiguous(), w)));
    }
  }
}

TEST(PackedLinear, ANonFiniteNumberStaysInItsRow) {
  for (const Case& c : kCases) {
    const PackedWeight w = packed(c, values({40, 100}));
    for (const PackedPath& path : packed_paths(w.format()))
      for (float bad : {kInf, -kInf, kNan}) {
        SCOPED_TRACE(fmt::format("{} by {}, {}", text(c), path.name, bad));
        const at::Tensor x = values({20, 100}, at::kFloat, 1, 3), clean = packed_linear_by(path, x, w);
        x[7][60] = bad;
        const at::Tensor y = packed_linear_by(path, x, w);
        EXPECT_FALSE(y[7].isfinite().any().item<bool>());
        if (w.format().quantized() && !on_tiles(path)) {
          EXPECT_TRUE(y[7].isnan().all().item<bool>());
        }
        y[7] = clean[7];
        EXPECT_TRUE(at::equal(y, clean));
      }
  }
}

TEST(PackedLinear, ANonFiniteWeightMakesItsOutputNaN) {
  for (const Case& c : kCases)
    for (float bad : {kInf, kNan}) {
      const at::Tensor weight = values({40, 100});
      weight[9][50] = bad;
      const PackedWeight w = packed(c, weight);
      for (const PackedPath& path : packed_paths(w.format())) {
        const at::Tensor y = packed_linear_by(path, values({20, 100}), w);
        EXPECT_FALSE(y.select(1, 9).isfinite().any().item<bool>()) << text(c) << " by " << path.name;
        EXPECT_TRUE(at::cat({y.narrow(1, 0, 9), y.narrow(1, 10, 30)}, 1).isfinite().all().item<bool>());
      }
    }
}

TEST(PackedLinear, RowsOfZerosAndNoRowsAtAll) {
  for (const Case& c : kCases) {
    const PackedWeight w = packed(c, values({20, 64}));
    for (const PackedPath& path : packed_paths(w.format()))
      EXPECT_TRUE(at::equal(packed_linear_by(path, at::zeros({18, 64}), w), at::zeros({18, 20})));
    EXPECT_EQ(packed_linear(at::zeros({0, 64}), w).sizes(), at::IntArrayRef({0, 20}));
    EXPECT_EQ(packed_linear(at::zeros({64}), w).sizes(), at::IntArrayRef({20}));
  }
}

template <class Call>
std::string refusal(Call&& call) {
  try {
    call();
  } catch (const base::Error& e) {
    return e.what();
  }
  return "accepted";
}

TEST(PackedLinear, RefusesWhatItCannotDo) {
  const PackedWeight w = packed({kInt4, 32}, values({20, 64}));
  EXPECT_THAT(refusal([&] {
                packed_linear(values({2, 63}), w);
              }),
              HasSubstr("64 inputs was given x of [2, 63]"));
  EXPECT_THAT(refusal([&] {
                packed_linear(values({2, 64}).requires_grad_(), w);
              }),
              HasSubstr("no gradients"));
  EXPECT_THAT(refusal([&] {
                packed_linear(values({2, 64}, at::kHalf), w);
              }),
              HasSubstr("want float or bfloat16"));
  EXPECT_THAT(refusal([&] {
                packed_linear(values({2, 64}), w, {PackedActivation::kNone, values({2, 64})});
              }),
              HasSubstr("residual must be"));
  EXPECT_THAT(refusal([&] { packed({kInt4, 48}, values({20, 64})); }), HasSubstr("groups of 48 numbers"));
  EXPECT_THAT(refusal([&] { packed({kInt8, 0}, values({2, 70000})); }), HasSubstr("70000 inputs"));
  EXPECT_THAT(refusal([&] {
                packed({kInt8, 0}, values({3, 8}), true);
              }),
              HasSubstr("3 outputs cannot be gates"));
  EXPECT_THAT(refusal([&] { packed({kInt8, 0}, values({8})); }), HasSubstr("two dimensions"));
  EXPECT_THAT(refusal([&] { packed({kBf16, {}}, values({8, 8})).codes(); }), HasSubstr("bf16 has no codes"));
  EXPECT_THAT(refusal([&] {
                packed({kFp6, 0, true}, values({8, 8}));
              }),
              HasSubstr("asymmetric are int8, w8a8 and int4"));
}

}  // namespace
}  // namespace deepspeed::ops
