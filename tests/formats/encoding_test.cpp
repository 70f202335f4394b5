#include "deepspeed/formats/encoding.h"

#include <gmock/gmock.h>

#include <bit>
#include <cmath>
#include <numeric>
#include <sstream>

#include "deepspeed/base/cpu_features.h"
#include "deepspeed/formats/element_kernels.h"
#include "images.h"
#include "zip_images.h"

namespace deepspeed::formats {
namespace {

// As make_gguf_goldens.py makes them.
std::vector<uint8_t> scrambled_blocks(BlockType type, uint32_t count) {
  const auto size = static_cast<uint32_t>(block_bytes(type));
  std::vector<uint8_t> bytes(size_t{count} * size);
  for (uint32_t i = 0; i < bytes.size(); ++i) {
    uint32_t value = i * 2654435761u;
    value ^= value >> 15;
    bytes[i] = static_cast<uint8_t>((value * 2246822519u) >> 24);
  }
  const bool two_scales = type == BlockType::kQ4_K || type == BlockType::kQ5_K;
  for (uint32_t block = 0; block < count; ++block) {
    const auto first = static_cast<uint16_t>(block * 8 + block % 8),
               second = static_cast<uint16_t>(block * 40503 + 12345);
    uint8_t* at = bytes.data() + size_t{block} * size;
    std::memcpy(at + (type == BlockType::kQ6_K ? 208 : 0), &first, 2);
    if (two_scales) std::memcpy(at + 2, &second, 2);
  }
  return bytes;
}

struct KernelSet {
  const char* name;
  const ElementKernels& kernels;
};
/// Those that this processor runs.
std::vector<KernelSet> kernel_sets() {
  std::vector<KernelSet> sets{{"scalar", element_kernels_scalar()}};
  if (base::cpu_features().avx2) sets.push_back({"avx2", element_kernels_avx2()});
  return sets;
}

TEST(DecodeBlocks, ScalesOfEverySizeGiveTheBitsOfTheGgufPackage) {
  std::istringstream lines(
      slurp(std::filesystem::path(DS_SOURCE_DIR) / "tests/formats/goldens/gguf/checksums.txt"));
  std::map<std::string, std::string> expected;
  for (std::string name, sum; lines >> name >> sum;) expected[name] = sum;
  ASSERT_EQ(expected.size(), 6u);
  for (const auto& [set, kernels] : kernel_sets())
    for (const auto& [type, kernel] :
         {std::pair(BlockType::kQ4_0, kernels.q4_0), std::pair(BlockType::kQ5_0, kernels.q5_0),
          std::pair(BlockType::kQ8_0, kernels.q8_0), std::pair(BlockType::kQ4_K, kernels.q4_k),
          std::pair(BlockType::kQ5_K, kernels.q5_k), std::pair(BlockType::kQ6_K, kernels.q6_k)}) {
      constexpr uint32_t kBlocks = 8192;
      const auto blocks = scrambled_blocks(type, kBlocks);
      std::vector<float> values(kBlocks * block_elements(type)), chosen(values.size());
      kernel(blocks.data(), kBlocks, values.data());
      decode_blocks(type, reinterpret_cast<const std::byte*>(blocks.data()), kBlocks, chosen.data());
      for (auto* all : {&values, &chosen}) {
        for (float& value : *all)
          if (std::isnan(value)) value = std::bit_cast<float>(0x7fc00000u);
        EXPECT_EQ(fmt::format("{:08x}", crc32(std::as_bytes(std::span(*all)))), expected[encoding_name(type)])
            << encoding_name(type) << " " << set;
      }
    }
}

TEST(ConvertToFloats, EveryKernelGivesTheSameBits) {
  std::vector<uint16_t> every(65536);
  std::iota(every.begin(), every.end(), uint16_t{0});
  const auto* from = reinterpret_cast<const uint8_t*>(every.data());
  std::vector<uint32_t> first(every.size()), other(every.size());
  for (auto kernel : {&ElementKernels::f16, &ElementKernels::bf16}) {
    (element_kernels_scalar().*kernel)(from, every.size(), reinterpret_cast<float*>(first.data()));
    for (const auto& [set, kernels] : kernel_sets()) {
      (kernels.*kernel)(from, every.size(), reinterpret_cast<float*>(other.data()));
      EXPECT_EQ(first, other) << set;
    }
  }
}

TEST(ConvertToFloats, EveryHalfIsExact) {
  for (uint32_t bits = 0; bits < 65536; ++bits) {
    const auto half = static_cast<uint16_t>(bits);
    const int exponent = half >> 10 & 31, mantissa = half & 1023;
    const float sign = half >> 15 != 0 ? -1.f : 1.f;
    float value;
    convert_to_floats(Dtype::kF16, reinterpret_cast<const std::byte*>(&half), 1, &value);
    EXPECT_EQ(std::signbit(value), half >> 15 != 0);
    if (exponent == 31 && mantissa != 0)
      EXPECT_TRUE(std::isnan(value));
    else if (exponent == 31)
      EXPECT_EQ(value, sign * INFINITY);
    else
      EXPECT_EQ(value,
                sign * (exponent == 0 ? std::ldexp(static_cast<float>(mantissa), -24)
                                      : std::ldexp(static_cast<float>(1024 + mantissa), exponent - 25)));
  }
}

TEST(ConvertToFloats, EveryBfloat16IsTheUpperHalfOfAFloat) {
  for (uint32_t bits = 0; bits < 65536; ++bits) {
    const auto upper = static_cast<uint16_t>(bits);
    float value;
    convert_to_floats(Dtype::kBF16, reinterpret_cast<const std::byte*>(&upper), 1, &value);
    EXPECT_EQ(std::bit_cast<uint32_t>(value), bits << 16);
  }
}

TEST(ConvertToFloats, DoublesRoundAndWholeNumbersAreRefused) {
  const double value = 1.0 + 0x1p-30;
  float rounded;
  convert_to_floats(Dtype::kF64, reinterpret_cast<const std::byte*>(&value), 1, &rounded);
  EXPECT_EQ(rounded, 1.f);
  EXPECT_THAT(error_of([&] { convert_to_floats(Dtype::kI64, nullptr, 0, nullptr); }),
              ::testing::HasSubstr("I64 are not floating point"));
}

}  // namespace
}  // namespace deepspeed::formats
