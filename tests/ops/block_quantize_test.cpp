#include "deepspeed/ops/block_quantize.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "deepspeed/base/error.h"
#include "deepspeed/ops/cpu/block_quantize_kernel.h"

namespace deepspeed::ops {
namespace {

using base::Isa;

constexpr float kInf = std::numeric_limits<float>::infinity();
const std::vector<std::pair<at::ScalarType, Element>> kTypes = {
    {at::kFloat, Element::kFp32}, {at::kBFloat16, Element::kBf16}, {at::kHalf, Element::kFp16}};

at::Tensor normal(int64_t n, uint64_t seed = 1) {
  return at::randn({n}, at::make_generator<at::CPUGeneratorImpl>(seed), at::kFloat);
}

std::vector<uint8_t> coded(const BlockCode& code, const at::Tensor& x, Element element) {
  std::vector<uint8_t> bytes(static_cast<size_t>(coded_bytes(code, x.numel())));
  block_quantize(code, x.const_data_ptr(), element, x.numel(), bytes.data());
  return bytes;
}

at::Tensor decoded(const BlockCode& code, std::vector<const uint8_t*> arrays, int64_t n,
                   at::ScalarType type = at::kFloat, Element element = Element::kFp32) {
  at::Tensor y = at::full({n + 1}, 77, type);
  block_dequantize(code, arrays, n, y.mutable_data_ptr(), element);
  EXPECT_EQ(y[n].item<float>(), 77) << "written beyond the end";
  return y.narrow(0, 0, n);
}

at::Tensor round_trip(const BlockCode& code, const at::Tensor& x) {
  return decoded(code, {coded(code, x, Element::kFp32).data()}, x.numel());
}

// The step of one block, in fp64.
double step_of(const BlockCode& code, const at::Tensor& block) {
  const double high = block.max().item<double>(), low = block.min().item<double>();
  return code.symmetric ? std::max(high, -low) / ((1 << (code.bits - 1)) - 1)
                        : (high - low) / ((1 << code.bits) - 1);
}

std::vector<BlockCode> codes(int64_t block = 128) {
  std::vector<BlockCode> all;
  for (int bits : {8, 4, 2})
    for (bool symmetric : {true, false}) all.push_back({bits, symmetric, block});
  return all;
}

TEST(BlockQuantize, IsWithinHalfAStepOfEveryNumberForEveryTypeAndSize) {
  for (const BlockCode& code : codes())
    for (const auto& [type, element] : kTypes)
      for (int64_t n : {1, 2, 15, 16, 17, 63, 64, 65, 127, 128, 129, 1000, 4096 + 5}) {
        at::Tensor x = normal(n, static_cast<uint64_t>(n));
        if (!code.symmetric) x.add_(3);
        x = x.to(type);
        const auto bytes = coded(code, x, element);
        const at::Tensor y = decoded(code, {bytes.data()}, n), exact = x.to(at::kFloat);
        for (int64_t b = 0; b < n; b += code.block) {
          const at::Tensor block = exact.narrow(0, b, std::min(code.block, n - b));
          const double worst = (y.narrow(0, b, block.numel()) - block).abs().max().item<double>();
          const double rounding = 1e-6 * block.abs().max().item<double>();
          EXPECT_LE(worst, 0.5 * step_of(code, block) + rounding)
              << code.bits << " bits, symmetric " << code.symmetric << ", n " << n << ", block at " << b;
        }
      }
}

TEST(BlockQuantize, NumbersOnTheGridComeBackExactly) {
  for (int bits : {8, 4, 2}) {
    const int top = (1 << (bits - 1)) - 1;
    const at::Tensor grid = (at::arange(1003, at::kLong) % (2 * top + 1) - top).to(at::kFloat) * 0.25;
    EXPECT_TRUE(at::equal(round_trip({bits, true, 512}, grid), grid)) << bits;
    const at::Tensor codes = (at::arange(1003, at::kLong) % (1 << bits)).to(at::kFloat) * 0.5 - 8;
    EXPECT_TRUE(at::equal(round_trip({bits, false, 512}, codes), codes)) << bits;
  }
}

TEST(BlockQuantize, TakesTheBytesItSaysScalesIncluded) {
  EXPECT_EQ(coded_bytes({8, true, 2048}, 0), 0);
  EXPECT_EQ(coded_bytes({8, true, 2048}, 4096), 4096 + 2 * 4);
  EXPECT_EQ(coded_bytes({4, true, 512}, 4096), 2048 + 8 * 4);
  EXPECT_EQ(coded_bytes({2, false, 512}, 4096), 1024 + 8 * 8);
  EXPECT_EQ(coded_bytes({4, true, 512}, 513), (16 + 1) * 16 + 2 * 4);  // 513 = 16 * 32 + 1
}

TEST(BlockQuantize, ZerosStayZerosAndConstantsConstants) {
  for (const BlockCode& code : codes()) {
    EXPECT_TRUE(at::equal(round_trip(code, at::zeros({300})), at::zeros({300})));
    EXPECT_TRUE(at::allclose(round_trip(code, at::full({300}, -2.5)), at::full({300}, -2.5), 1e-6));
    const at::Tensor tiny = at::full({64}, 1e-40);
    EXPECT_LE(round_trip(code, tiny).abs().max().item<float>(), 1e-39f);
  }
}

TEST(BlockQuantize, HugeNumbersDoNotOverflow) {
  for (const BlockCode& code : codes()) {
    const at::Tensor x = at::tensor({3.4e38f, -3.4e38f, 1e38f, 0.0f});
    const at::Tensor y = round_trip(code, x);
    EXPECT_TRUE(y.isfinite().all().item<bool>()) << code.bits << code.symmetric;
    EXPECT_NEAR(y[0].item<double>() / 3.4e38, 1, 1e-5);
    EXPECT_NEAR(y[1].item<double>() / 3.4e38, -1, 1e-5);
  }
}

TEST(BlockQuantize, ABlockWithAnInfinityOrNaNIsAllNaNAndItsNeighboursAreNot) {
  for (const BlockCode& code : codes())
    for (float bad : {kInf, -kInf, std::numeric_limits<float>::quiet_NaN()})
      for (int64_t where : {128, 129, 200, 255}) {
        at::Tensor x = normal(300);
        x[where] = bad;
        const at::Tensor y = round_trip(code, x), nan = y.isnan();
        EXPECT_TRUE(nan.narrow(0, 128, 128).all().item<bool>()) << where;
        EXPECT_FALSE(nan.narrow(0, 0, 128).any().item<bool>());
        EXPECT_FALSE(nan.narrow(0, 256, 44).any().item<bool>());
      }
}

TEST(BlockQuantize, SumsSeveralArraysInFp32) {
  for (const BlockCode& code : codes())
    for (int64_t n : {1, 100, 128 * 3 + 7})
      for (size_t count : {1, 3, 70}) {
        std::vector<std::vector<uint8_t>> arrays;
        std::vector<const uint8_t*> pointers;
        at::Tensor expected = at::zeros({n}, at::kDouble);
        for (size_t i = 0; i < count; ++i) {
          const at::Tensor x = normal(n, i + 2);
          arrays.push_back(coded(code, x, Element::kFp32));
          expected += round_trip(code, x).to(at::kDouble);
        }
        for (const auto& array : arrays) pointers.push_back(array.data());
        EXPECT_TRUE(at::allclose(decoded(code, pointers, n).to(at::kDouble), expected, 1e-5, 1e-5)) << n;
        const at::Tensor bf16 = decoded(code, pointers, n, at::kBFloat16, Element::kBf16);
        EXPECT_TRUE(at::allclose(bf16.to(at::kDouble), expected, 4e-3, 1e-4)) << n;
      }
}

TEST(BlockQuantize, EveryInstructionSetGivesTheSameCodesAndNumbers) {
  const auto scalar = cpu::block_quantize_scalar();
  for (Isa isa : {Isa::kAvx2, Isa::kAvx512}) {
    if (base::best_isa({isa}) != isa) continue;
    const auto fast = cpu::block_quantize_kernels(isa);
    for (const BlockCode& code : codes())
      for (const auto& [type, element] : kTypes)
        for (int64_t n : {1, 7, 64, 250, 1024}) {
          const at::Tensor x = normal(n, static_cast<uint64_t>(n)).to(type);
          const cpu::CodeFormat format{code.bits, code.symmetric};
          std::vector<uint8_t> a(2048, 0), b(2048, 0);
          float pa[2] = {}, pb[2] = {};
          scalar.quantize(x.const_data_ptr(), element, n, format, a.data(), pa);
          fast.quantize(x.const_data_ptr(), element, n, format, b.data(), pb);
          EXPECT_EQ(a, b) << base::isa_name(isa) << " " << code.bits << " " << n;
          EXPECT_EQ(pa[0], pb[0]);
          EXPECT_EQ(pa[1], pb[1]);
          at::Tensor ya = at::zeros({n}, type), yb = at::zeros({n}, type);
          const cpu::CodedBlock block{a.data(), pa};
          scalar.dequantize(&block, 1, n, format, ya.mutable_data_ptr(), element);
          fast.dequantize(&block, 1, n, format, yb.mutable_data_ptr(), element);
          if (code.symmetric)  // one product; with a minimum, two roundings or a fused one
            EXPECT_TRUE(at::equal(ya, yb)) << base::isa_name(isa) << " " << code.bits << " " << n;
          else
            EXPECT_TRUE(at::allclose(ya.to(at::kFloat), yb.to(at::kFloat), 1e-2, 1e-6));
        }
  }
}

TEST(BlockQuantize, TheNumberOfThreadsChangesNothing) {
  const at::Tensor x = normal(1 << 20);
  const BlockCode code{4, true, 512};
  at::set_num_threads(1);
  const auto one = coded(code, x, Element::kFp32);
  const at::Tensor y = decoded(code, {one.data()}, x.numel());
  at::set_num_threads(3);
  EXPECT_EQ(coded(code, x, Element::kFp32), one);
  EXPECT_TRUE(at::equal(decoded(code, {one.data()}, x.numel()), y));
  at::set_num_threads(1);
}

TEST(BlockQuantize, RefusesBitsAndBlocksThatDoNotExist) {
  EXPECT_THROW(coded_bytes({3, true, 128}, 5), base::Error);
  EXPECT_THROW(coded_bytes({8, true, 100}, 5), base::Error);
  EXPECT_THROW(coded_bytes({8, true, 0}, 5), base::Error);
  EXPECT_THROW(coded_bytes({8, true, 64}, -1), base::Error);
  EXPECT_THROW(block_dequantize({8, true, 64}, {}, 0, nullptr, Element::kFp32), base::Error);
}

}  // namespace
}  // namespace deepspeed::ops
