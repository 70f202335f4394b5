#include "deepspeed/formats/gguf.h"

#include <gmock/gmock.h>

#include <bit>
#include <cmath>

#include "gguf_images.h"
#include "images.h"
#include "tests/formats/allocation_meter.h"

namespace deepspeed::formats {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
namespace fs = std::filesystem;

const fs::path kGoldens = fs::path(DS_SOURCE_DIR) / "tests/formats/goldens/gguf";

std::vector<float> floats(const MappedTensor& tensor) {
  std::vector<float> values(tensor.elements());
  read_floats(tensor, 0, values.size(), values.data());
  return values;
}
/// The error of a file; "no error" when none. However wrong it is, it takes no more memory than its size
/// justifies.
std::string error_of_bytes(const std::string& bytes) {
  const AllocationMeter meter;
  const std::string error = error_of([&] { GgufFile::from_bytes(image_of(bytes), "x.gguf"); });
  EXPECT_TRUE(meter.fits(bytes.size())) << meter.peak() << " bytes: " << error;
  EXPECT_EQ(error.find('\n'), std::string::npos);
  return error;
}
std::string error_in(const GgufImage& image) { return error_of_bytes(image.bytes()); }
std::string error_of_value(const std::string& pair) {
  GgufImage image;
  image.values = {pair};
  return error_in(image);
}
std::string error_of_tensors(const std::vector<std::string>& tensors, size_t data_bytes) {
  GgufImage image;
  image.tensors = tensors;
  image.data = std::string(data_bytes, '\0');
  return error_in(image);
}

TEST(GgufFile, ReadsMetadataOfEveryTypeThatTheGgufPackageWrote) {
  const GgufFile file(kGoldens / "every.gguf");
  EXPECT_EQ(file.version(), 3u);
  const GgufMetadata& metadata = file.metadata();
  EXPECT_EQ(metadata.keys().size(), 20u);
  EXPECT_EQ(metadata.text("general.architecture"), "llama");
  EXPECT_EQ(metadata.integer("u8"), 255);
  EXPECT_EQ(metadata.integer("i8"), -128);
  EXPECT_EQ(metadata.integer("u16"), 65535);
  EXPECT_EQ(metadata.integer("i16"), -32768);
  EXPECT_EQ(metadata.integer("u32"), 4294967295);
  EXPECT_EQ(metadata.integer("i32"), -2147483648);
  EXPECT_EQ(metadata.integer("i64"), std::numeric_limits<int64_t>::min());
  EXPECT_EQ(metadata.number("u64"), 0x1p63);
  EXPECT_EQ(metadata.number("f32"), 0.5);
  EXPECT_EQ(metadata.number("f64"), 1e300);
  EXPECT_EQ(metadata.number("i8"), -128);
  EXPECT_TRUE(metadata.boolean("true"));
  EXPECT_FALSE(metadata.boolean("false"));
  EXPECT_EQ(metadata.text("text"), "snow \xe2\x98\x83\nand more");
  EXPECT_THAT(metadata.texts("texts"), ElementsAre("a", "", "\xc3\xbc"));
  EXPECT_THAT(metadata.integers("integers"), ElementsAre(1, -2, 3));
  EXPECT_THAT(metadata.numbers("integers"), ElementsAre(1, -2, 3));
  EXPECT_THAT(metadata.numbers("floats"), ElementsAre(0.5, -1.5));
  EXPECT_THAT(metadata.booleans("booleans"), ElementsAre(true, false));
  EXPECT_THAT(metadata.integers("bytes"), ElementsAre(1, 2));
  ASSERT_EQ(metadata.arrays("nested").size(), 2u);
  EXPECT_EQ(metadata.arrays("nested")[0].count, 2u);
  EXPECT_EQ(metadata.arrays("nested")[1].bytes.size(), 4u);
}

TEST(GgufMetadata, AskingForAnotherTypeOrAnAbsentKeyIsAnErrorThatNamesBoth) {
  const GgufFile file(kGoldens / "every.gguf");
  const GgufMetadata& metadata = file.metadata();
  EXPECT_THAT(error_of([&] { metadata.text("absent"); }),
              AllOf(HasSubstr("every.gguf"), HasSubstr("'absent'")));
  EXPECT_THAT(error_of([&] { metadata.text("u8"); }), HasSubstr("'u8' should be text, not U8"));
  EXPECT_THAT(error_of([&] { metadata.integer("text"); }), HasSubstr("'text' should be a whole number"));
  EXPECT_THAT(error_of([&] { metadata.integer("f32"); }), HasSubstr("not F32"));
  EXPECT_THAT(error_of([&] { metadata.integer("u64"); }), HasSubstr("below 2^63"));
  EXPECT_THAT(error_of([&] { metadata.integer("integers"); }), HasSubstr("not an array of I32"));
  EXPECT_THAT(error_of([&] { metadata.boolean("u8"); }), HasSubstr("a boolean"));
  EXPECT_THAT(error_of([&] { metadata.number("true"); }), HasSubstr("a number"));
  EXPECT_THAT(error_of([&] { metadata.texts("text"); }), HasSubstr("an array, not text"));
  EXPECT_THAT(error_of([&] { metadata.texts("integers"); }),
              HasSubstr("an array of text, not an array of I32"));
  EXPECT_THAT(error_of([&] { metadata.integers("texts"); }), HasSubstr("an array of whole numbers"));
  EXPECT_THAT(error_of([&] { metadata.integers("nested"); }), HasSubstr("an array of whole numbers"));
  EXPECT_THAT(error_of([&] { metadata.numbers("booleans"); }), HasSubstr("an array of numbers"));
  EXPECT_THAT(error_of([&] { metadata.booleans("bytes"); }), HasSubstr("an array of booleans"));
  EXPECT_THAT(error_of([&] { metadata.arrays("integers"); }), HasSubstr("an array of arrays"));
}

TEST(GgufFile, ReadsPlainTensorsWithTheOutermostDimensionFirst) {
  const GgufFile file(kGoldens / "every.gguf");
  EXPECT_EQ(file.find("F32")->shape, (std::vector<int64_t>{3, 4}));
  EXPECT_EQ(file.find("cube")->shape, (std::vector<int64_t>{2, 3, 4}));
  EXPECT_EQ(floats(*file.find("cube"))[23], 23);
  for (const char* name : {"F32", "F16", "BF16", "F64"}) {
    const std::vector<float> values = floats(*file.find(name));
    for (size_t i = 0; i < 12; ++i) EXPECT_EQ(values[i], static_cast<float>(i) / 4 - 1) << name;
  }
  EXPECT_EQ(file.find("I32")->dtype(), Dtype::kI32);
  EXPECT_EQ(file.find("absent"), nullptr);
}

TEST(GgufFile, DecodesQuantizedTensorsAsTheGgufPackageDoes) {
  const GgufFile file(kGoldens / "every.gguf");
  for (const char* name : {"Q4_0", "Q5_0", "Q8_0", "Q4_K", "Q5_K", "Q6_K"}) {
    const MappedTensor& tensor = *file.find(name);
    EXPECT_STREQ(encoding_name(tensor.encoding), name);
    EXPECT_EQ(tensor.shape, (std::vector<int64_t>{2, 512}));
    const std::vector<float> all = floats(tensor);
    EXPECT_EQ(all, floats(*file.find(std::string(name) + ".floats"))) << name;
    // Any range is that of the whole.
    for (size_t begin : {0, 1, 31, 32, 255, 256, 300, 512, 1000, 1024})
      for (size_t count : {0, 1, 31, 32, 33, 256, 257, 512, 1024}) {
        if (begin + count > all.size()) continue;
        std::vector<float> part(count);
        read_floats(tensor, begin, count, part.data());
        ASSERT_TRUE(std::equal(part.begin(), part.end(), all.begin() + static_cast<ptrdiff_t>(begin)));
      }
    std::vector<std::byte> bytes(1);
    EXPECT_THAT(error_of([&] { read_elements(tensor, 0, 1, bytes); }), HasSubstr("only be read as floats"));
    EXPECT_THAT(error_of([&] { read_floats(tensor, 1024, 1, nullptr); }), HasSubstr("has no elements"));
  }
}

TEST(GgufFile, ReadsVersionTwo) {
  std::string bytes = slurp(kGoldens / "every.gguf");
  put<uint32_t>(bytes, 4, 2);
  const GgufFile file = GgufFile::from_bytes(image_of(bytes), "x.gguf");
  EXPECT_EQ(file.version(), 2u);
  EXPECT_EQ(file.tensors().size(), 18u);
}

TEST(GgufFile, KeepsItsTensorsWhenMoved) {
  std::vector<GgufFile> files;
  for (int i = 0; i < 3; ++i) files.emplace_back(kGoldens / "every.gguf");
  for (const auto& file : files) EXPECT_EQ(floats(*file.find("cube"))[5], 5);
}

TEST(GgufFile, AFileWithoutTensorsOrMetadataIsValid) {
  EXPECT_EQ(error_in({}), "no error");
  EXPECT_EQ(error_of_bytes(GgufImage().bytes().substr(0, 24)), "no error");
}

TEST(GgufFile, EveryTruncationIsOneLineThatNamesTheFile) {
  const std::string whole = slurp(kGoldens / "every.gguf");
  const GgufFile file(kGoldens / "every.gguf");
  // Nothing but padding follows the last tensor.
  const MappedTensor& last = file.tensors().back();
  const size_t needed = whole.size() - (32 - last.bytes.size() % 32) % 32;
  for (size_t size = 0; size < needed; size += size < 2000 ? 1 : 97)
    ASSERT_THAT(error_of_bytes(whole.substr(0, size)), HasSubstr("'x.gguf'")) << size;
}

TEST(GgufFile, ADamagedByteNeverReadsOutsideTheFile) {
  std::string bytes = slurp(kGoldens / "every.gguf");
  for (size_t at = 0; at < 2500; ++at)
    for (int change : {0x01, 0x80, 0xff}) {
      const char before = bytes[at];
      bytes[at] = static_cast<char>(before ^ change);
      error_of([&] {
        const GgufFile file = GgufFile::from_bytes(image_of(bytes), "bent.gguf");
        for (const auto& tensor : file.tensors())
          if (!tensor.dtype() || *tensor.dtype() == Dtype::kF32) floats(tensor);
      });
      bytes[at] = before;
    }
}

// The broken files of llama.cpp's tests/test-gguf.cpp and of its advisories, by their names there.
TEST(BrokenGguf, Header) {
  GgufImage image;
  image.magic = "FUGG";
  EXPECT_THAT(error_in(image), HasSubstr("'x.gguf' is not a GGUF file"));
  EXPECT_THAT(error_of_bytes(""), HasSubstr("not a GGUF file"));
  for (uint32_t version : {0u, 1u, 4u}) {
    image = {};
    image.version = version;
    EXPECT_THAT(error_in(image), HasSubstr(fmt::format("GGUF version {} is not supported", version)));
  }
  image.version = 0x03000000;
  EXPECT_THAT(error_in(image), HasSubstr("big-endian"));
  for (uint64_t count : {~uint64_t{0}, uint64_t{1} << 63, uint64_t{1} << 32, uint64_t{1}}) {
    image = {};
    image.tensor_count = count;
    image.alignment = 1;
    EXPECT_THAT(error_in(image), HasSubstr(fmt::format("claims {} tensors", count)));
    image = {};
    image.value_count = count;
    image.alignment = 1;
    EXPECT_THAT(error_in(image), HasSubstr(fmt::format("claims {} metadata values", count)));
  }
}

TEST(BrokenGguf, Metadata) {
  std::string pair;
  append<uint64_t>(pair, ~uint64_t{0});
  EXPECT_THAT(error_of_value(pair + "my_key"), HasSubstr("a metadata key needs 18446744073709551615 bytes"));
  EXPECT_THAT(error_of_value(gguf_pair_of<uint32_t>("", GgufType::kU32, 1)), HasSubstr("key has 0 bytes"));
  EXPECT_THAT(error_of_value(gguf_pair_of<uint32_t>(std::string(65536, 'k'), GgufType::kU32, 1)),
              HasSubstr("key has 65536 bytes"));
  EXPECT_THAT(error_of_value(gguf_pair("k", static_cast<GgufType>(13), "1234")),
              HasSubstr("value type 13 is unknown"));
  EXPECT_THAT(error_of_value(gguf_pair("k", static_cast<GgufType>(0xffffffff), "1234")),
              HasSubstr("is unknown"));
  EXPECT_THAT(error_of_value(gguf_pair_of<uint8_t>("k", GgufType::kBool, 2)), HasSubstr("a boolean is 2"));
  EXPECT_THAT(error_of_value(gguf_pair_of<uint64_t>("k", GgufType::kText, ~uint64_t{0})),
              HasSubstr("text needs 18446744073709551615 bytes"));
  GgufImage twice;
  twice.values = {gguf_pair_of<uint8_t>("k", GgufType::kU8, 1), gguf_pair_of<uint8_t>("k", GgufType::kU8, 1)};
  EXPECT_THAT(error_in(twice), HasSubstr("'k' appears twice"));
}

TEST(BrokenGguf, ArraysLargerThanTheFile) {
  for (uint64_t count : {~uint64_t{0}, uint64_t{1} << 61, uint64_t{1} << 40, uint64_t{1000}})
    for (GgufType type : {GgufType::kU8, GgufType::kU64, GgufType::kBool, GgufType::kText, GgufType::kArray})
      EXPECT_THAT(error_of_value(gguf_array("k", type, count, "1234")), HasSubstr("bytes are left")) << count;
  std::string deep;
  for (int i = 0; i < 100; ++i) {
    append<uint32_t>(deep, static_cast<uint32_t>(GgufType::kArray));
    append<uint64_t>(deep, 1);
  }
  EXPECT_THAT(error_of_value(gguf_array("k", GgufType::kArray, 1, deep)), HasSubstr("deeper than 4"));
  EXPECT_THAT(error_of_value(gguf_array("k", static_cast<GgufType>(13), 1, "1")),
              HasSubstr("type 13 is unknown"));
}

TEST(BrokenGguf, Alignment) {
  auto aligned = [](const std::string& pair) {
    GgufImage image;
    image.values = {pair};
    image.tensors = {gguf_tensor("a", {8}), gguf_tensor("b", {8}, 0, 32)};
    image.data = std::string(64, '\0');
    return error_in(image);
  };
  constexpr const char* kKey = "general.alignment";
  EXPECT_EQ(aligned(gguf_pair_of<uint32_t>(kKey, GgufType::kU32, 32)), "no error");
  for (uint32_t alignment : {0u, 13u, 0xffffffffu})
    EXPECT_THAT(aligned(gguf_pair_of<uint32_t>(kKey, GgufType::kU32, alignment)),
                HasSubstr("not a power of 2"));
  EXPECT_THAT(aligned(gguf_pair_of<int32_t>(kKey, GgufType::kI32, 32)), HasSubstr("should be U32, not I32"));
  EXPECT_THAT(aligned(gguf_array(kKey, GgufType::kU32, 1, "1234")), HasSubstr("should be U32, not array"));
  EXPECT_THAT(aligned(gguf_pair_of<uint32_t>(kKey, GgufType::kU32, 64)),
              HasSubstr("not a multiple of the alignment"));
  EXPECT_THAT(aligned(gguf_pair_of<uint32_t>(kKey, GgufType::kU32, 1u << 31)),
              HasSubstr("'b' has offset 32"));
}

TEST(BrokenGguf, TensorNamesShapesAndTypes) {
  constexpr int64_t kHuge = std::numeric_limits<int64_t>::max();
  EXPECT_EQ(error_of_tensors({gguf_tensor("a", {4})}, 16), "no error");
  EXPECT_EQ(error_of_tensors({gguf_tensor("a", {})}, 4), "no error");
  EXPECT_EQ(error_of_tensors({gguf_tensor("a", {4, 0})}, 0), "no error");
  EXPECT_EQ(error_of_tensors({gguf_tensor("a", {kHuge, 0, kHuge})}, 0), "no error");
  EXPECT_THAT(error_of_tensors({gguf_tensor(std::string(65, 'n'), {4})}, 16), HasSubstr("name has 65 bytes"));
  EXPECT_THAT(error_of_tensors({gguf_tensor("a", {1, 1, 1, 1, 1})}, 16), HasSubstr("'a' has 5 dimensions"));
  EXPECT_THAT(error_of_tensors({gguf_tensor("a", {-1})}, 16), HasSubstr("negative or overflows"));
  EXPECT_THAT(error_of_tensors({gguf_tensor("a", {-4, -1})}, 16), HasSubstr("negative or overflows"));
  EXPECT_THAT(error_of_tensors({gguf_tensor("a", {int64_t{4} << 31, int64_t{4} << 31})}, 16),
              HasSubstr("overflows"));
  EXPECT_THAT(error_of_tensors({gguf_tensor("a", {kHuge}, 27)}, 16), HasSubstr("overflows"));
  EXPECT_THAT(error_of_tensors({gguf_tensor("a", {kHuge / 4})}, 16), HasSubstr("is truncated"));
  EXPECT_THAT(error_of_tensors({gguf_tensor("a", {4}, 99)}, 16),
              HasSubstr("'a' has type 99, which is unknown"));
  EXPECT_THAT(error_of_tensors({gguf_tensor("a", {4}, 0xffffffff)}, 16),
              HasSubstr("4294967295, which is unknown"));
  EXPECT_THAT(error_of_tensors({gguf_tensor("a", {4}, 4)}, 16),
              HasSubstr("'a' has type 4, which is unknown"));
  EXPECT_THAT(error_of_tensors({gguf_tensor("a", {256}, 10)}, 84),
              HasSubstr("type Q2_K, which is not supported"));
  EXPECT_THAT(error_of_tensors({gguf_tensor("a", {256}, 23)}, 136),
              HasSubstr("type IQ4_XS, which is not supported"));
  EXPECT_THAT(error_of_tensors({gguf_tensor("a", {255}, 12)}, 144), HasSubstr("not whole blocks of 256"));
  EXPECT_THAT(error_of_tensors({gguf_tensor("a", {16, 2}, 2)}, 18), HasSubstr("not whole blocks of 32"));
  EXPECT_THAT(error_of_tensors({gguf_tensor("a", {}, 2)}, 18), HasSubstr("not whole blocks"));
  EXPECT_THAT(error_of_tensors({gguf_tensor("a", {1}), gguf_tensor("a", {1}, 0, 32)}, 36),
              HasSubstr("appears twice"));
}

TEST(BrokenGguf, TensorsMustLieInTheFileWithoutOverlap) {
  EXPECT_EQ(error_of_tensors({gguf_tensor("b", {8}, 0, 32), gguf_tensor("a", {8})}, 64), "no error");
  EXPECT_THAT(error_of_tensors({gguf_tensor("a", {4}, 0, ~uint64_t{0})}, 16), HasSubstr("not a multiple"));
  EXPECT_THAT(error_of_tensors({gguf_tensor("a", {4}, 0, ~uint64_t{31})}, 16),
              HasSubstr("is truncated: tensor 'a'"));
  EXPECT_THAT(error_of_tensors({gguf_tensor("a", {4}, 0, 8)}, 24), HasSubstr("not a multiple"));
  EXPECT_THAT(error_of_tensors({gguf_tensor("a", {8})}, 31),
              HasSubstr("is truncated: tensor 'a' takes 32 bytes"));
  EXPECT_THAT(error_of_tensors({gguf_tensor("a", {16}), gguf_tensor("b", {8}, 0, 32)}, 64),
              HasSubstr("'b' overlaps the one before it (begins at 32, should at 64)"));
  EXPECT_THAT(error_of_tensors({gguf_tensor("a", {8}), gguf_tensor("b", {8})}, 64), HasSubstr("overlaps"));
  // Two tensors whose sizes add up to less than one of them in 64 bits.
  EXPECT_THAT(error_of_tensors({gguf_tensor("a", {0x7fffffffffffffc0}, 24),
                                gguf_tensor("b", {0x7fffffffffffffc0}, 24, 0x7fffffffffffffc0)},
                               32),
              HasSubstr("is truncated"));
}

struct Parts : ::testing::Test {
  Parts() {
    for (int i = 1; i <= 3; ++i)
      fs::copy_file(kGoldens / name(i), folder.path() / name(i), fs::copy_options::overwrite_existing);
  }
  static std::string name(int number) { return fmt::format("parts-{:05}-of-00003.gguf", number); }
  std::string error(int number) const {
    return error_of([&] { open_gguf_files(folder.path() / name(number)); });
  }
  TemporaryFolder folder;
};

TEST_F(Parts, AnyOfThemOpensAllInOrder) {
  for (int number : {1, 2, 3}) {
    const auto files = open_gguf_files(folder.path() / name(number));
    ASSERT_EQ(files.size(), 3u);
    EXPECT_EQ(files[0].metadata().text("general.architecture"), "llama");
    std::vector<std::string> names;
    for (const auto& file : files)
      for (const auto& tensor : file.tensors()) names.push_back(tensor.name);
    EXPECT_THAT(names, ElementsAre("tensor0", "tensor1", "tensor2", "tensor3", "tensor4"));
    EXPECT_EQ(floats(*files[1].find("tensor3")), std::vector<float>(4, 3));
  }
  EXPECT_EQ(open_gguf_files(kGoldens / "every.gguf").size(), 1u);
}

TEST_F(Parts, AMissingOrExchangedPartIsAnErrorThatNamesIt) {
  fs::remove(folder.path() / name(2));
  EXPECT_THAT(error(1), AllOf(HasSubstr("is one of 3 files"), HasSubstr(name(2) + "' does not exist")));
  fs::copy_file(kGoldens / name(3), folder.path() / name(2));
  EXPECT_THAT(error(1), HasSubstr("says that it is part 3, its name says 2"));
  fs::copy_file(kGoldens / "every.gguf", folder.path() / name(2), fs::copy_options::overwrite_existing);
  EXPECT_THAT(error(1), HasSubstr("says that it is one of 1 files, its name says 3"));
  fs::rename(folder.path() / name(1), folder.path() / "renamed.gguf");
  EXPECT_THAT(error_of([&] { open_gguf_files(folder.path() / "renamed.gguf"); }),
              HasSubstr("does not end with -00001-of-00003.gguf"));
}

TEST_F(Parts, TensorsMustBeAsManyAsTheFirstPartSays) {
  auto part = [](int16_t number, const char* tensor, int32_t tensors) {
    GgufImage image;
    image.values = {gguf_pair_of<uint16_t>("split.no", GgufType::kU16, static_cast<uint16_t>(number)),
                    gguf_pair_of<uint16_t>("split.count", GgufType::kU16, 2),
                    gguf_pair_of<int32_t>("split.tensors.count", GgufType::kI32, tensors)};
    image.tensors = {gguf_tensor(tensor, {1})};
    image.data = "1234";
    return image.bytes();
  };
  const fs::path first = folder.path() / "m-00001-of-00002.gguf",
                 second = folder.path() / "m-00002-of-00002.gguf";
  spill(first, part(0, "a", 2));
  spill(second, part(1, "b", 2));
  EXPECT_EQ(open_gguf_files(second).size(), 2u);
  spill(second, part(1, "a", 2));
  EXPECT_THAT(error_of([&] { open_gguf_files(first); }), HasSubstr("'a' is also in another part"));
  spill(first, part(0, "a", 3));
  spill(second, part(1, "b", 3));
  EXPECT_THAT(error_of([&] { open_gguf_files(first); }), HasSubstr("has 3 tensors, its parts hold 2"));
}

TEST(GgufSplitName, IsRecognizedExactly) {
  const auto name = parse_gguf_split_name("a-b-00002-of-00003.gguf");
  ASSERT_TRUE(name.has_value());
  EXPECT_EQ(name->stem, "a-b");
  EXPECT_EQ(name->number, 2u);
  EXPECT_EQ(name->count, 3u);
  for (const char* other :
       {"a.gguf", "-00001-of-00001.gguf", "a-00004-of-00003.gguf", "a-00000-of-00003.gguf",
        "a-0001-of-00003.gguf", "a-00001-of-00003.ggux", "a-00001-of- 0003.gguf", ""})
    EXPECT_FALSE(parse_gguf_split_name(other).has_value()) << other;
}

}  // namespace
}  // namespace deepspeed::formats
