#include "deepspeed/formats/safetensors.h"

#include <gmock/gmock.h>

#include "images.h"

namespace deepspeed::formats {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

const std::filesystem::path kGoldens = std::filesystem::path(DS_SOURCE_DIR) / "tests/formats/goldens";

std::string tensor(const std::string& name, const std::string& dtype, const std::string& shape,
                   const std::string& offsets) {
  return fmt::format(R"("{}":{{"dtype":"{}","shape":[{}],"data_offsets":[{}]}})", name, dtype, shape,
                     offsets);
}
std::string error_in(const std::string& header, size_t data_bytes) {
  return error_of_image(image(header, data_bytes));
}
std::string error_in_one(const std::string& dtype, const std::string& shape, const std::string& offsets,
                         size_t data_bytes) {
  return error_in("{" + tensor("a", dtype, shape, offsets) + "}", data_bytes);
}

template <class T>
std::vector<T> values(const SafetensorsFile& file, const char* name) {
  auto bytes = file.data(*file.find(name));
  std::vector<T> result(bytes.size() / sizeof(T));
  std::memcpy(result.data(), bytes.data(), bytes.size());
  return result;
}

TEST(SafetensorsFile, ReadsEveryTypeOfAFileThatTheReferenceLibraryWrote) {
  SafetensorsFile file(kGoldens / "every_dtype.safetensors");
  EXPECT_EQ(file.tensors().size(), 16u);
  EXPECT_EQ(file.metadata(), (std::map<std::string, std::string>{{"format", "pt"}}));
  EXPECT_EQ(values<double>(file, "f64"), (std::vector<double>{0, 1, 2, 3, 4, 5}));
  EXPECT_EQ(values<float>(file, "f32"), (std::vector<float>{0, 1, 2, 3, 4, 5}));
  EXPECT_EQ(values<uint16_t>(file, "bf16"),
            (std::vector<uint16_t>{0, 0x3f80, 0x4000, 0x4040, 0x4080, 0x40a0}));
  EXPECT_EQ(values<uint16_t>(file, "f16"),
            (std::vector<uint16_t>{0, 0x3c00, 0x4000, 0x4200, 0x4400, 0x4500}));
  EXPECT_EQ(values<int64_t>(file, "i64"), (std::vector<int64_t>{0, 1, 2, 3, 4, 5}));
  EXPECT_EQ(values<uint8_t>(file, "bool"), (std::vector<uint8_t>{0, 1, 1, 1, 1, 1}));
  for (const char* name : {"i32", "u32", "i16", "u16", "i8", "u8", "u64"}) {
    const TensorInfo* info = file.find(name);
    ASSERT_NE(info, nullptr) << name;
    EXPECT_EQ(info->shape, (std::vector<int64_t>{2, 3}));
    EXPECT_EQ(std::string(dtype_name(info->dtype)).substr(1), std::string(name).substr(1));
    EXPECT_EQ(std::to_integer<int>(file.data(*info)[dtype_size(info->dtype)]), 1) << name;
  }
}

TEST(SafetensorsFile, ScalarsEmptyTensorsAndOddNamesAreTensorsLikeOthers) {
  SafetensorsFile file(kGoldens / "every_dtype.safetensors");
  EXPECT_TRUE(file.find("scalar")->shape.empty());
  EXPECT_EQ(values<float>(file, "scalar"), (std::vector<float>{2.5f}));
  EXPECT_EQ(file.find("empty")->shape, (std::vector<int64_t>{0, 4}));
  EXPECT_TRUE(file.data(*file.find("empty")).empty());
  EXPECT_NE(file.find("odd \"name\" \xc3\xbc\n"), nullptr);
  EXPECT_EQ(file.find("absent"), nullptr);
}

TEST(SafetensorsFile, AFileWithoutTensorsIsValid) {
  EXPECT_TRUE(SafetensorsFile(kGoldens / "no_tensors.safetensors").tensors().empty());
}

TEST(SafetensorsFile, KeepsItsTensorsWhenMoved) {
  SafetensorsFile file(kGoldens / "every_dtype.safetensors");
  std::vector<SafetensorsFile> files;
  for (int i = 0; i < 3; ++i) files.emplace_back(kGoldens / "every_dtype.safetensors");
  files.push_back(std::move(file));
  for (const auto& f : files) EXPECT_EQ(values<float>(f, "scalar"), (std::vector<float>{2.5f}));
}

TEST(SafetensorsFile, TensorsMayStandInAnyOrderInTheHeader) {
  auto bytes = image("{" + tensor("b", "U8", "2", "1,3") + "," + tensor("a", "U8", "1", "0,1") + "," +
                         tensor("e", "F32", "0", "1,1") + "," + tensor("f", "F32", "7,0", "3,3") + "}",
                     3);
  auto file = SafetensorsFile::from_bytes(bytes, "x");
  std::vector<std::string> names;
  for (const auto& info : file.tensors()) names.push_back(info.name);
  EXPECT_EQ(names, (std::vector<std::string>{"a", "e", "b", "f"}));
}

TEST(SafetensorsFile, KeysThatAreNotItsOwnAreSkippedAsTheReferenceLibraryDoes) {
  EXPECT_EQ(
      error_in(
          R"({"a":{"x":{"shape":[1,{"dtype":"?"}]},"dtype":"U8","y":null,"shape":[1],"z":[[]],"data_offsets":[0,1],"w":"t"}})",
          1),
      "no error");
}

TEST(SafetensorsFile, EveryTruncationOfAValidFileIsAnErrorThatNamesTheFile) {
  const std::string whole = slurp(kGoldens / "every_dtype.safetensors");
  for (size_t size = 0; size < whole.size(); ++size) {
    auto bytes = std::as_bytes(std::span(whole.data(), size));
    std::string error = error_of([&] { SafetensorsFile::from_bytes(bytes, "cut.safetensors"); });
    ASSERT_THAT(error, AllOf(HasSubstr("cut.safetensors"), HasSubstr("truncated"))) << size;
  }
}

TEST(SafetensorsFile, ALengthBeyondTheFileOrTheLimitIsAnError) {
  std::vector<std::byte> bytes(64, std::byte{0xff});
  EXPECT_THAT(error_of_image(bytes), HasSubstr("more than the 100000000 allowed"));
  uint64_t length = kMaxHeaderBytes;
  std::memcpy(bytes.data(), &length, 8);
  EXPECT_THAT(error_of_image(bytes), HasSubstr("truncated"));
  length = kMaxHeaderBytes + 1;
  std::memcpy(bytes.data(), &length, 8);
  EXPECT_THAT(error_of_image(bytes), HasSubstr("allowed"));
}

TEST(SafetensorsFile, TensorsMustTileTheDataWithoutOverlapHolesOrRest) {
  auto two = [](const std::string& first, const std::string& second, size_t bytes) {
    return error_in("{" + tensor("a", "U8", "4", first) + "," + tensor("b", "U8", "4", second) + "}", bytes);
  };
  EXPECT_EQ(two("0,4", "4,8", 8), "no error");
  EXPECT_THAT(two("0,4", "3,7", 8), AllOf(HasSubstr("'b'"), HasSubstr("overlaps")));
  EXPECT_THAT(two("0,4", "0,4", 8), HasSubstr("overlaps"));
  EXPECT_THAT(two("0,4", "6,10", 10), HasSubstr("2 unused bytes before tensor 'b'"));
  EXPECT_THAT(two("1,5", "5,9", 9), HasSubstr("1 unused bytes before tensor 'a'"));
  EXPECT_THAT(two("0,4", "4,8", 7), AllOf(HasSubstr("truncated"), HasSubstr("'b'")));
  EXPECT_THAT(two("0,4", "4,8", 9), HasSubstr("1 bytes after the last tensor"));
}

TEST(SafetensorsFile, ShapeTypeAndOffsetsMustAgree) {
  EXPECT_EQ(error_in_one("F32", "2,3", "0,24", 24), "no error");
  EXPECT_THAT(error_in_one("F32", "2,3", "0,23", 23), HasSubstr("needs 24 bytes"));
  EXPECT_THAT(error_in_one("F32", "2,4", "0,24", 24), HasSubstr("needs 32 bytes"));
  EXPECT_THAT(error_in_one("F32", "1", "4,0", 4), HasSubstr("data_offsets are [4, 0]"));
  EXPECT_THAT(error_in_one("F32", "0", "0,4", 4), HasSubstr("needs 0 bytes"));
  EXPECT_THAT(error_in_one("F33", "1", "0,4", 4), HasSubstr("dtype 'F33', which is not supported"));
}

TEST(SafetensorsFile, SizesThatOverflowAreErrorsNotSmallTensors) {
  EXPECT_THAT(error_in_one("F32", "4611686018427387904,4", "0,0", 0), HasSubstr("overflows"));
  EXPECT_THAT(error_in_one("F64", "9223372036854775807", "0,8", 8), HasSubstr("overflows"));
  EXPECT_THAT(error_in_one("U8", "9223372036854775808", "0,8", 8), HasSubstr("in 'shape'"));
  EXPECT_THAT(error_in_one("U8", "99999999999999999999", "0,8", 8), HasSubstr("in 'shape'"));
  EXPECT_THAT(error_in_one("U8", "8", "18446744073709551608,18446744073709551616", 8),
              HasSubstr("in 'data_offsets'"));
}

TEST(SafetensorsFile, HeaderValuesOfAnotherKindAreErrors) {
  EXPECT_THAT(error_in_one("U8", "-1", "0,1", 1), HasSubstr("'a' has -1 in 'shape'"));
  EXPECT_THAT(error_in_one("U8", "1.0", "0,1", 1), HasSubstr("in 'shape'"));
  EXPECT_THAT(error_in_one("U8", "[1]", "0,1", 1), HasSubstr("a list"));
  EXPECT_THAT(error_in_one("U8", "1", "0", 1), HasSubstr("two data_offsets"));
  EXPECT_THAT(error_in_one("U8", "1", "0,1,2", 1), HasSubstr("has 2 in 'data_offsets'"));
  EXPECT_THAT(error_in(R"({"a":{"dtype":5,"shape":[1],"data_offsets":[0,1]}})", 1),
              HasSubstr("has 5 in 'dtype'"));
  EXPECT_THAT(error_in(R"({"a":{"dtype":["U8"],"shape":[1],"data_offsets":[0,1]}})", 1),
              HasSubstr("a list in 'dtype'"));
  EXPECT_THAT(error_in(R"({"a":{"dtype":"U8","shape":1,"data_offsets":[0,1]}})", 1),
              HasSubstr("has 1 in 'shape'"));
  EXPECT_THAT(error_in(R"({"a":{"dtype":"U8","shape":[1]}})", 1), HasSubstr("lacks"));
  EXPECT_THAT(error_in(R"({"a":[]})", 0), HasSubstr("should hold an object, not a list"));
  EXPECT_THAT(error_in(R"({"__metadata__":{"a":1}})", 0), HasSubstr("metadata 'a' should be text"));
  EXPECT_THAT(error_in(R"({"__metadata__":{"a":{}}})", 0), HasSubstr("metadata 'a' should be text"));
  EXPECT_THAT(error_in(R"({"__metadata__":7})", 0), HasSubstr("should hold an object"));
}

TEST(SafetensorsFile, WhatAppearsTwiceIsAnError) {
  EXPECT_THAT(error_in("{" + tensor("a", "U8", "1", "0,1") + "," + tensor("a", "U8", "1", "1,2") + "}", 2),
              HasSubstr("tensor 'a' appears twice"));
  EXPECT_THAT(error_in(R"({"a":{"dtype":"U8","dtype":"U8","shape":[1],"data_offsets":[0,1]}})", 1),
              HasSubstr("has 'dtype' twice"));
  EXPECT_THAT(error_in(R"({"__metadata__":{},"__metadata__":{}})", 0),
              HasSubstr("'__metadata__' appears twice"));
  EXPECT_THAT(error_in(R"({"__metadata__":{"k":"1","k":"2"}})", 0),
              HasSubstr("metadata key 'k' appears twice"));
}

TEST(SafetensorsFile, MalformedJsonIsAnErrorWithThePlace) {
  for (std::string header : {"", " {}", "[]", "null", "{", "{}x", "{]", "{\"a\"", "{\"a\":", "{\"\xff\":{}}",
                             "{\"\xc0\xaf\":{}}", "{\"\\ud800\":{}}", "{} {}", "{,}", "{'a':1}"})
    EXPECT_THAT(error_in(header, 0), AllOf(HasSubstr("x.safetensors"), HasSubstr("header"))) << header;
  EXPECT_THAT(error_in(std::string("{}\0", 3), 0), HasSubstr("header"));
  EXPECT_EQ(error_in("{}     ", 0), "no error");
}

TEST(SafetensorsFile, TooManyDimensionsAndDeepNestingAreHandled) {
  std::string shape = "1";
  for (size_t i = 1; i < kMaxDimensions; ++i) shape += ",1";
  EXPECT_EQ(error_in_one("U8", shape, "0,1", 1), "no error");
  EXPECT_THAT(error_in_one("U8", shape + ",1", "0,1", 1), HasSubstr("more than 64 dimensions"));
  const std::string deep = std::string(200000, '[') + std::string(200000, ']');
  EXPECT_EQ(error_in(R"({"a":{"x":)" + deep + R"(,"dtype":"U8","shape":[1],"data_offsets":[0,1]}})", 1),
            "no error");
}

TEST(SafetensorsFile, MessagesStayOneShortLineWhateverTheNames) {
  std::string error = error_in("{\"" + std::string(100000, 'n') + "\\n\":[]}", 0);
  EXPECT_LT(error.size(), 400u);
  error = error_in(R"({"line\nbreak":[]})", 0);
  EXPECT_EQ(error.find('\n'), std::string::npos);
}

TEST(SafetensorsFile, AMissingFileOrAFolderIsAnErrorThatNamesIt) {
  EXPECT_THAT(error_of([] { SafetensorsFile("/nowhere/model.safetensors"); }),
              AllOf(HasSubstr("/nowhere/model.safetensors"), HasSubstr("No such file")));
  EXPECT_THAT(error_of([] { SafetensorsFile("/tmp"); }), HasSubstr("/tmp"));
}

TEST(SafetensorsFile, ATensorOfAnotherFileIsRefused) {
  auto bytes = image("{" + tensor("a", "U8", "1", "0,1") + "}", 1);
  auto file = SafetensorsFile::from_bytes(bytes, "x");
  TensorInfo foreign{.name = "b", .dtype = Dtype::kU8, .shape = {9}, .begin = 0, .end = 9};
  EXPECT_THAT(error_of([&] { file.data(foreign); }), HasSubstr("does not belong"));
}

}  // namespace
}  // namespace deepspeed::formats
