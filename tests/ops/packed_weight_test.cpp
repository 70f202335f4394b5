// What quantized weights stand for, and their codes as files hold them.
#include "deepspeed/ops/packed_weight.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "deepspeed/base/error.h"
#include "deepspeed/ops/packed_codes.h"
#include "fused_support.h"

namespace deepspeed::ops {
namespace {

using namespace testing_support;
using enum PackedScheme;

// The bound that packed_weight.h states, for a number of a group whose largest is m.
double bound(PackedScheme scheme, double w, double m) {
  constexpr double kScale = 1 + 0x1p-7;
  switch (scheme) {
    case kFp32:
      return 0;
    case kBf16:
      return std::fabs(w) * 0x1p-8;
    case kInt8:
    case kInt8Dynamic:
      return m / 254 * kScale;
    case kInt4:
      return m / 8 * kScale;
    case kFp6:
      return std::max(std::fabs(w) / 8, m / 896 * kScale);
  }
  return 0;
}

TEST(PackedWeight, NumbersStayWithinTheBoundOfTheirScheme) {
  for (PackedScheme scheme : {kFp32, kBf16, kInt8, kInt8Dynamic, kInt4, kFp6})
    for (int64_t group : {0, 32, 64, 128})
      for (double size : {1e-20, 0.02, 1e20}) {
        const at::Tensor w = values({19, 150}, at::kFloat, size, 2);
        const PackedWeight packed = PackedWeight::pack(w, {scheme, group});
        const at::Tensor back = packed.dequantize();
        const int64_t step = packed.format().quantized() && group > 0 ? group : 150;
        for (int64_t n = 0; n < 19; ++n)
          for (int64_t k = 0; k < 150; ++k) {
            const int64_t first = k / step * step;
            const double m = w[n].narrow(0, first, std::min(step, 150 - first)).abs().max().item<double>();
            const double wide = w[n][k].item<double>(), off = std::fabs(back[n][k].item<double>() - wide);
            ASSERT_LE(off, bound(scheme, wide, m) * (1 + 1e-6))
                << scheme_name(scheme) << " group " << group << " [" << n << "," << k << "]";
          }
      }
}

// The bound that packed_weight.h states for asymmetric groups, as a mean of squares.
TEST(PackedWeight, AsymmetricGroupsStayWithinTheirs) {
  for (PackedScheme scheme : {kInt8, kInt8Dynamic, kInt4})
    for (int64_t group : {0, 32, 128})
      for (double size : {1e-20, 0.02, 1e20})
        for (double middle : {0.0, 1.0, -7.0}) {
          const at::Tensor w = values({19, 150}, at::kFloat, size, 2) + middle * size;
          const PackedWeight packed =
              PackedWeight::pack(w, {.scheme = scheme, .group = group, .asymmetric = true});
          const at::Tensor back = packed.dequantize();
          const int64_t step = group > 0 ? group : 150;
          for (int64_t first = 0; first < 150; first += step) {
            const int64_t count = std::min(step, 150 - first);
            const at::Tensor exact = w.narrow(1, first, count).to(at::kDouble);
            const at::Tensor off = back.narrow(1, first, count).to(at::kDouble) - exact;
            const double steps = scheme == kInt4 ? 15 : 254;
            const at::Tensor allowed =
                (exact.amax(1) - exact.amin(1)) / steps / 2 * (1 + 0x1p-7) + exact.abs().amax(1) * 0x1p-8;
            EXPECT_TRUE((off.square().mean(1).sqrt() <= allowed).all().item<bool>())
                << scheme_name(scheme) << " group " << group << " of " << size << " around " << middle;
          }
        }
}

TEST(PackedWeight, ShiftsAreWorthTheirBits) {
  const auto size = [](const at::Tensor& w, bool asymmetric) {
    const PackedWeight packed = PackedWeight::pack(w, {.scheme = kInt4, .asymmetric = asymmetric});
    return (packed.dequantize() - w).square().mean().item<double>();
  };
  const at::Tensor w = values({256, 1024}, at::kFloat, 1, 6);
  EXPECT_LT(size(w, true), 0.75 * size(w, false));
  EXPECT_LT(size(w.abs(), true), 0.3 * size(w.abs(), false));
}

TEST(PackedWeight, AGroupOfOneNumberIsItsShift) {
  const at::Tensor same = at::full({3, 64}, 0.75f);
  EXPECT_TRUE(at::equal(PackedWeight::pack(same, {.scheme = kInt4, .asymmetric = true}).dequantize(), same));
}

TEST(PackedWeight, ARoundingToNearestEvenOfFp6FindsTheNearestOfAllCodes) {
  for (int step = -29 * 64; step <= 29 * 64; ++step) {
    const float x = static_cast<float>(step) / 64;
    const float found = code_value(kFp6, nearest_code(kFp6, x));
    float best = 1e9f;
    for (int code = 0; code < 64; ++code)
      best = std::min(best, std::fabs(code_value(kFp6, static_cast<int8_t>(code)) - x));
    ASSERT_EQ(std::fabs(found - x), best) << x;
  }
  for (int code = 0; code < 64; ++code)
    if (code != 32) {
      EXPECT_EQ(nearest_code(kFp6, code_value(kFp6, static_cast<int8_t>(code))), code);
    }
  EXPECT_EQ(code_value(kFp6, nearest_code(kFp6, 1.125f)), 1.0f) << "a tie, of which 1 has the even mantissa";
}

TEST(PackedWeight, CodesComeBackAsTheyWereGiven) {
  for (PackedScheme scheme : {kInt8, kInt8Dynamic, kInt4, kFp6})
    for (int64_t group : {0, 32})
      for (const auto& [gated, asymmetric] :
           {std::pair(false, false), {true, false}, {false, true}, {true, true}}) {
        if (asymmetric && scheme == kFp6) continue;
        const at::Tensor w = values({42, 77}, at::kFloat, 0.1, 4), bias = values({42});
        const PackOptions options{scheme, group, gated, asymmetric};
        const PackedWeight packed = PackedWeight::pack(w, options, WeightOrder::kOutIn, bias);
        const WeightCodes codes = packed.codes();
        const PackedWeight again = PackedWeight::from_codes(codes, options, bias);
        EXPECT_TRUE(at::equal(again.packed(), packed.packed()));
        EXPECT_TRUE(at::equal(again.packed_scales(), packed.packed_scales()));
        EXPECT_TRUE(at::equal(again.packed_bias(), packed.packed_bias()));
        EXPECT_TRUE(at::equal(again.codes().codes, codes.codes));
        EXPECT_EQ(codes.shifts.defined(), asymmetric);
        EXPECT_TRUE(at::equal(again.dequantize(), packed.dequantize()));
      }
}

TEST(PackedWeight, ReadsRowsThatAreNotInMemoryOnceEach) {
  for (PackedScheme scheme : {kFp32, kBf16, kInt8, kInt4, kFp6})
    for (bool gated : {false, true}) {
      const at::Tensor w = values({678, 77}, at::kFloat, 0.1, 4);
      const PackOptions options{scheme, {}, gated};
      std::vector<std::atomic<int>> asked(678);
      const RowReader reader = [&](int64_t begin, int64_t count, float* to) {
        for (int64_t n = begin; n < begin + count; ++n) ++asked[static_cast<size_t>(n)];
        std::memcpy(to, w.const_data_ptr<float>() + begin * 77,
                    static_cast<size_t>(count) * 77 * sizeof(float));
      };
      const PackedWeight read = PackedWeight::pack(678, 77, reader, options);
      EXPECT_TRUE(at::equal(read.packed(), PackedWeight::pack(w, options).packed())) << scheme_name(scheme);
      EXPECT_TRUE(std::all_of(asked.begin(), asked.end(), [](const auto& n) { return n == 1; }));
    }
}

TEST(PackedWeight, AReaderThatFailsIsHeard) {
  const RowReader reader = [](int64_t begin, int64_t, float*) {
    if (begin > 0) base::fail("the disk is gone");
  };
  EXPECT_THROW(PackedWeight::pack(4096, 64, reader, {kInt8}), base::Error);
}

TEST(PackedWeight, RowsAreThoseOfTheWhole) {
  const at::Tensor ids = at::tensor({3, 0, 41, 3}, at::kLong).view({2, 2});
  for (PackedScheme scheme : {kFp32, kBf16, kInt8, kInt4, kFp6}) {
    const PackedWeight packed = PackedWeight::pack(values({42, 77}, at::kFloat, 0.1, 4), {scheme});
    const at::Tensor wanted = packed.dequantize().index_select(0, ids.flatten()).view({2, 2, 77});
    EXPECT_TRUE(at::equal(packed.rows(ids, at::kFloat), wanted)) << scheme_name(scheme);
    EXPECT_TRUE(at::equal(packed.rows(ids, at::kBFloat16), wanted.to(at::kBFloat16)));
    EXPECT_THROW(packed.rows(at::tensor({42}, at::kLong), at::kFloat), base::Error);
    EXPECT_THROW(packed.rows(at::tensor({-1}, at::kLong), at::kFloat), base::Error);
  }
}

TEST(PackedWeight, RefusesCodesThatAreNone) {
  const at::Tensor scales = at::ones({2, 1}, at::kBFloat16), codes = at::zeros({2, 64}, at::kChar);
  codes[1][3] = 8;
  EXPECT_THROW(PackedWeight::from_codes({codes, scales}, {kInt4, 0}), base::Error);
  EXPECT_NO_THROW(PackedWeight::from_codes({codes, scales}, {kInt8, 0}));
  EXPECT_THROW(PackedWeight::from_codes({codes, scales}, {kInt8, 32}), base::Error) << "wants groups";
  EXPECT_THROW(PackedWeight::from_codes({codes, scales, scales}, {kInt8, 0}), base::Error) << "has shifts";
  EXPECT_THROW(PackedWeight::from_codes({codes, scales}, {.scheme = kInt8, .asymmetric = true}), base::Error);
}

TEST(PackedWeight, FourBitsTakeTheBetterOfTwoScales) {
  const at::Tensor w = values({256, 1024}, at::kFloat, 1, 6), groups = w.view({-1, 32});
  const at::Tensor even = groups.abs().amax(1, true) / 7;
  const auto size = [](const at::Tensor& off) { return off.square().mean().item<double>(); };
  const double ours = size(PackedWeight::pack(w, {kInt4, 32}).dequantize() - w);
  EXPECT_LT(ours, 0.93 * size(at::round(groups / even) * even - groups));
}

TEST(PackedWeight, TinyNumbersAndZerosAreZero) {
  for (PackedScheme scheme : {kInt8, kInt4, kFp6}) {
    EXPECT_TRUE(at::equal(PackedWeight::pack(at::full({3, 40}, 0x1p-101f), {scheme, 32}).dequantize(),
                          at::zeros({3, 40})));
    EXPECT_TRUE(
        at::equal(PackedWeight::pack(at::zeros({3, 40}), {scheme, 32}).dequantize(), at::zeros({3, 40})));
  }
}

TEST(PackedWeight, TakesItsBitsANumber) {
  const auto bytes = [](PackedScheme scheme, int64_t group) {
    return PackedWeight::pack(values({64, 256}), {scheme, group}).bytes() * 8.0 / (64 * 256);
  };
  EXPECT_EQ(bytes(kFp32, 0), 32);
  EXPECT_EQ(bytes(kBf16, 0), 16);
  EXPECT_EQ(bytes(kInt8, 32), 8.5);
  EXPECT_EQ(bytes(kInt8Dynamic, 0), 8 + 16.0 / 256);
  EXPECT_EQ(bytes(kInt4, 32), 4.5);
  EXPECT_EQ(bytes(kFp6, 64), 6.25);
  const PackOptions asymmetric{.scheme = kInt4, .asymmetric = true};
  EXPECT_EQ(PackedWeight::pack(values({64, 256}), asymmetric).bytes() * 8.0 / (64 * 256), 5);
}

TEST(PackedWeight, NamesOfSchemesAreFoundAgain) {
  for (PackedScheme scheme : {kFp32, kBf16, kInt8, kInt8Dynamic, kInt4, kFp6})
    EXPECT_EQ(scheme_of(scheme_name(scheme)), scheme);
  EXPECT_FALSE(scheme_of("int3"));
}

}  // namespace
}  // namespace deepspeed::ops
