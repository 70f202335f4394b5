// Quantized weights on a GPU: the numbers and products of the same weights on the CPU; e4m3 against its
// bound.
#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "deepspeed/ops/fp8_linear.h"
#include "deepspeed/ops/packed_linear.h"
#include "tests/ops/fused_support.h"
#include "tests/support/device.h"
#include "tests/support/error_of.h"

namespace deepspeed::ops {
namespace {

using ::deepspeed::testing_support::error_of;
using testing_support::values;

struct Form {
  PackOptions options;
  int64_t out, in;
};
// Both products of W8A8; groups, rows that fill no chunk and ones whose ends no vector loads reach.
const Form kForms[] = {{{.scheme = PackedScheme::kInt8}, 48, 96},
                       {{.scheme = PackedScheme::kInt8, .group = 64, .asymmetric = true}, 30, 200},
                       {{.scheme = PackedScheme::kInt8Dynamic}, 48, 96},
                       {{.scheme = PackedScheme::kInt8Dynamic, .group = 32, .asymmetric = true}, 17, 75},
                       {{.scheme = PackedScheme::kInt4}, 48, 160},
                       {{.scheme = PackedScheme::kInt4, .group = 128, .asymmetric = true}, 33, 301},
                       {{.scheme = PackedScheme::kFp32, .gated = true}, 64, 50},
                       {{.scheme = PackedScheme::kBf16}, 48, 75},
                       {{.scheme = PackedScheme::kFp6, .gated = true}, 64, 96},
                       {{.scheme = PackedScheme::kInt4, .gated = true, .asymmetric = true}, 64, 600}};

PackedWeight weight_of(const Form& form) {
  return PackedWeight::pack(values({form.out, form.in}, at::kFloat, 0.1), form.options, WeightOrder::kOutIn,
                            values({form.out}, at::kFloat, 1, 3));
}

TEST(PackedDevice, NumbersAreThoseOfTheCpu) {
  DS_NEEDS_GPU();
  for (const Form& form : kForms) {
    const PackedWeight here = weight_of(form), there = here.to(at::kCUDA);
    EXPECT_TRUE(at::equal(there.dequantize().cpu(), here.dequantize())) << scheme_name(form.options.scheme);
    const at::Tensor ids = at::arange(6).remainder(form.out).view({2, 3});
    EXPECT_TRUE(at::equal(there.rows(ids.cuda(), at::kFloat).cpu(), here.rows(ids, at::kFloat)));
    if (here.format().quantized())
      EXPECT_TRUE(
          there.rows(at::full({1}, form.out, at::kLong).cuda(), at::kFloat).isnan().all().item<bool>());
  }
}

// x^ w^T + b and what follows, in fp64; of W8A8 x rounded as its contract says.
at::Tensor expected(const at::Tensor& x, const PackedWeight& weight, const PackedEpilogue& epilogue) {
  at::Tensor own = x.to(at::kDouble);
  const PackedFormat& f = weight.format();
  if (f.scheme == PackedScheme::kInt8Dynamic) {
    const int64_t group = f.group > 0 ? f.group : f.in;
    for (int64_t k = 0; k < f.in; k += group) {
      const at::Tensor part = own.narrow(1, k, std::min(group, f.in - k));
      const at::Tensor step = part.abs().amax(1, true).to(at::kFloat) / 127;
      part.copy_((part.to(at::kFloat) / step).round() * step);
    }
  }
  at::Tensor y = at::linear(own, weight.dequantize().to(at::kDouble), weight.bias().to(at::kDouble));
  if (f.gated) {
    const auto halves = y.split(f.out / 2, 1);
    y = at::silu(halves[0]) * halves[1];
  } else if (epilogue.activation == PackedActivation::kGeluTanh) {
    y = at::gelu(y, "tanh");
  }
  return epilogue.residual.defined() ? y + epilogue.residual.to(at::kDouble) : y;
}

TEST(PackedDevice, ProductsAreThoseOfTheirNumbers) {
  DS_NEEDS_GPU();
  const at::NoGradGuard no_grad;
  for (const Form& form : kForms)
    for (const auto type : {at::kFloat, at::kBFloat16, at::kHalf})
      for (const int64_t rows : {1, 2, 3, 7, 16, 17, 40})
        for (const bool ends : {false, true}) {
          const PackedWeight weight = weight_of(form);
          const at::Tensor x = values({rows, form.in}, type, 1, 5);
          PackedEpilogue epilogue;
          if (form.options.gated) epilogue.activation = PackedActivation::kSilu;
          if (ends && !form.options.gated) epilogue.activation = PackedActivation::kGeluTanh;
          if (ends) epilogue.residual = values({rows, weight.width()}, type, 1, 6);
          PackedEpilogue there = epilogue;
          if (ends) there.residual = epilogue.residual.cuda();
          const at::Tensor y = packed_linear(x.cuda(), weight.to(at::kCUDA), there);
          EXPECT_EQ(y.scalar_type(), type);
          const at::Tensor want = expected(x, weight, epilogue);
          // Of x's type are the factors of many rows, their sum, and what comes after it. cuBLAS' own fp32
          // products may sum in another order.
          const double unit = type == at::kFloat ? 1e-6 : type == at::kHalf ? 1e-3 : 8e-3;
          const double error = (y.cpu().to(at::kDouble) - want).abs().max().item<double>();
          EXPECT_LT(error, 4 * unit * want.abs().max().item<double>())
              << scheme_name(form.options.scheme) << " " << rows << " rows " << c10::toString(type);
        }
}

TEST(PackedDevice, RowsMayBeginAnywhere) {
  DS_NEEDS_GPU();
  const at::NoGradGuard no_grad;
  const PackedWeight weight = weight_of(kForms[0]).to(at::kCUDA);
  const at::Tensor all = values({1, 100}, at::kBFloat16, 1, 5).cuda(), part = all.narrow(1, 3, 96);
  EXPECT_TRUE(at::equal(packed_linear(part, weight), packed_linear(part.clone(), weight)));
}

TEST(PackedDevice, WrongNumbersReachTheirOwnRowAlone) {
  DS_NEEDS_GPU();
  const at::NoGradGuard no_grad;
  for (const Form& form : kForms)
    for (const int64_t rows : {2, 20}) {
      const at::Tensor x = values({rows, form.in}, at::kFloat, 1, 5);
      x[1][3] = std::numeric_limits<float>::quiet_NaN();
      x[0][2] = std::numeric_limits<float>::infinity();
      PackedEpilogue epilogue;
      if (form.options.gated) epilogue.activation = PackedActivation::kSilu;
      const at::Tensor y = packed_linear(x.cuda(), weight_of(form).to(at::kCUDA), epilogue).cpu();
      EXPECT_TRUE(y[1].isnan().all().item<bool>()) << scheme_name(form.options.scheme);
      EXPECT_FALSE(y[0].isfinite().any().item<bool>()) << scheme_name(form.options.scheme);
      if (rows > 2) EXPECT_TRUE(y.narrow(0, 2, rows - 2).isfinite().all().item<bool>());
    }
}

TEST(PackedDevice, RefusesWhatLiesElsewhere) {
  DS_NEEDS_GPU();
  const at::NoGradGuard no_grad;
  const PackedWeight weight = weight_of(kForms[0]).to(at::kCUDA);
  EXPECT_THAT(error_of([&] {
                packed_linear(values({2, 96}, at::kFloat), weight);
              }),
              testing::HasSubstr("x is Float on cpu; want float, half or bfloat16 on cuda:0"));
  EXPECT_THAT(error_of([&] { weight.to(at::kCPU); }),
              testing::HasSubstr("packed weight: one on cuda:0 gives no copy for another device"));
}

TEST(Fp8Device, ProductsStayWithinTheirBound) {
  DS_NEEDS_GPU();
  if (!Fp8Weight::available(at::Device(at::kCUDA, 0))) GTEST_SKIP() << "this GPU does not multiply e4m3";
  const at::NoGradGuard no_grad;
  for (const auto type : {at::kFloat, at::kBFloat16})
    for (const int64_t rows : {1, 5, 64}) {
      const at::Tensor w = values({48, 96}, at::kFloat, 0.1), bias = values({48}, at::kFloat, 1, 3);
      const Fp8Weight weight = Fp8Weight::round(w.cuda(), bias.cuda());
      const at::Tensor most = w.abs().amax(1, true), off = (weight.dequantize().cpu() - w).abs();
      EXPECT_TRUE((off <= at::maximum(w.abs() / 16, most / 448 / 1024) * 1.0001).all().item<bool>());
      const at::Tensor x = values({rows, 96}, type, 1, 5);
      const at::Tensor y = fp8_linear(x.cuda(), weight).cpu().to(at::kDouble);
      const at::Tensor wide = x.to(at::kDouble), exact = weight.dequantize().cpu().to(at::kDouble);
      const at::Tensor want = at::linear(wide, exact, bias.to(at::kDouble));
      // x is off by a sixteenth of each number at most, the result by a rounding to bf16, the bias by
      // another.
      const at::Tensor bound = at::linear(wide.abs(), exact.abs()) / 16 + (want.abs() + bias.abs()) / 128;
      EXPECT_TRUE(((y - want).abs() <= bound * 1.001).all().item<bool>()) << rows;
    }
  const at::Tensor zeros =
      fp8_linear(at::zeros({2, 96}, at::kCUDA), Fp8Weight::round(at::zeros({48, 96}, at::kCUDA)));
  EXPECT_TRUE(zeros.eq(0).all().item<bool>());
}

// Numbers whose largest is next to nothing are zeros, as on the CPU.
TEST(PackedDevice, TinyRowsAreZeros) {
  DS_NEEDS_GPU();
  const at::NoGradGuard no_grad;
  const PackedWeight weight =
      PackedWeight::pack(values({48, 96}, at::kFloat, 0.1), {.scheme = PackedScheme::kInt8Dynamic});
  for (const int64_t rows : {1, 20})
    EXPECT_TRUE(
        packed_linear(at::full({rows, 96}, 1e-38, at::kCUDA), weight.to(at::kCUDA)).eq(0).all().item<bool>());
}

TEST(Fp8, NeedsAGpu) { EXPECT_FALSE(Fp8Weight::available(at::kCPU)); }

}  // namespace
}  // namespace deepspeed::ops
