#include "deepspeed/formats/encoding.h"

#include <gmock/gmock.h>

#include <bit>
#include <cmath>
#include <sstream>

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

TEST(DecodeBlocks, ScalesOfEverySizeGiveTheBitsOfTheGgufPackage) {
  std::istringstream lines(
      slurp(std::filesystem::path(DS_SOURCE_DIR) / "tests/formats/goldens/gguf/checksums.txt"));
  std::map<std::string, std::string> expected;
  for (std::string name, sum; lines >> name >> sum;) expected[name] = sum;
  ASSERT_EQ(expected.size(), 6u);
  for (BlockType type : {BlockType::kQ4_0, BlockType::kQ5_0, BlockType::kQ8_0, BlockType::kQ4_K,
                         BlockType::kQ5_K, BlockType::kQ6_K}) {
    constexpr uint32_t kBlocks = 8192;
    const auto blocks = scrambled_blocks(type, kBlocks);
    std::vector<float> values(kBlocks * block_elements(type));
    decode_blocks(type, reinterpret_cast<const std::byte*>(blocks.data()), kBlocks, values.data());
    for (float& value : values)
      if (std::isnan(value)) value = std::bit_cast<float>(0x7fc00000u);
    EXPECT_EQ(fmt::format("{:08x}", crc32(std::as_bytes(std::span(values)))), expected[encoding_name(type)])
        << encoding_name(type);
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
