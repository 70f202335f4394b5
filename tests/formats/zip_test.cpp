#include "deepspeed/formats/zip.h"

#include <gmock/gmock.h>

#include "images.h"
#include "zip_images.h"

namespace deepspeed::formats {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

ZipImage two(bool zip64 = false) { return zip_image({{"a/first", "12345"}, {"a/second", "678"}}, zip64); }

std::string error_in(const std::string& bytes) {
  return error_of([&] { ZipArchive(image_of(bytes), "x.bin"); });
}
std::string text_of(const ZipArchive& zip, std::string_view name) {
  const auto data = zip.data(*zip.find(name));
  return {reinterpret_cast<const char*>(data.data()), data.size()};
}
/// The error after `value` was put at `at`.
template <class T>
std::string error_with(ZipImage image, size_t at, T value) {
  put<T>(image.bytes, at, value);
  return error_in(image.bytes);
}

TEST(ZipArchive, ReadsStoredEntriesWithAndWithoutZip64Records) {
  for (bool zip64 : {false, true}) {
    const ZipImage image = two(zip64);
    ASSERT_TRUE(ZipArchive::recognizes(image.span()));
    const ZipArchive zip(image.span(), "x.bin");
    ASSERT_EQ(zip.entries().size(), 2u);
    EXPECT_EQ(text_of(zip, "a/first"), "12345");
    EXPECT_EQ(text_of(zip, "a/second"), "678");
    EXPECT_EQ(zip.find("second"), nullptr);
    for (const ZipEntry& entry : zip.entries()) zip.check_crc(entry);
  }
}

TEST(ZipArchive, ACommentThatLooksLikeAnEndRecordDoesNotHideTheRealOne) {
  ZipImage image = two();
  put<uint16_t>(image.bytes, image.end + 20, 30);
  image.bytes += std::string("PK\5\6", 4) + std::string(26, '\0');
  EXPECT_EQ(ZipArchive(image.span(), "x.bin").entries().size(), 2u);
}

TEST(ZipArchive, EveryTruncationIsAnErrorThatNamesTheFile) {
  for (bool zip64 : {false, true}) {
    const ZipImage image = two(zip64);
    for (size_t size = 0; size < image.bytes.size(); ++size)
      ASSERT_THAT(error_in(image.bytes.substr(0, size)), HasSubstr("'x.bin' is truncated")) << size;
  }
}

TEST(ZipArchive, ADirectoryThatDoesNotFitIsAnErrorAndReservesNothing) {
  const ZipImage image = two();
  EXPECT_THAT(error_with<uint32_t>(image, image.end + 16, 0x7fffffff), HasSubstr("truncated"));
  EXPECT_THAT(error_with<uint32_t>(image, image.end + 12, 0x7fffffff), HasSubstr("truncated"));
  EXPECT_THAT(error_with<uint32_t>(image, image.end + 12, 60), HasSubstr("the 2 entries it claims"));
  EXPECT_THAT(error_with<uint32_t>(image, image.end + 8, 0xfff0fff0),
              HasSubstr("the 65520 entries it claims"));
  EXPECT_THAT(error_with<uint32_t>(image, image.end + 8, 0x00010001),
              HasSubstr("follow the last directory entry"));
  EXPECT_THAT(error_with<uint16_t>(image, image.end + 8, 1), HasSubstr("several disks"));
  EXPECT_THAT(error_with<uint16_t>(image, image.end + 4, 1), HasSubstr("several disks"));
}

TEST(ZipArchive, AZip64RecordThatDoesNotFitIsAnError) {
  const ZipImage image = two(true);
  const uint64_t huge = uint64_t{1} << 60;
  EXPECT_THAT(error_with<uint64_t>(image, image.locator + 8, huge),
              HasSubstr("zip64 end record is said to lie"));
  EXPECT_THAT(error_with<uint64_t>(image, image.locator + 8, 0), HasSubstr("no zip64 end record lies here"));
  EXPECT_THAT(error_with<uint32_t>(image, image.locator + 16, 2), HasSubstr("several disks"));
  EXPECT_THAT(error_with<uint64_t>(image, image.end64 + 4, huge), HasSubstr("end record claims"));
  EXPECT_THAT(error_with<uint64_t>(image, image.end64 + 4, 43), HasSubstr("end record claims 43"));
  EXPECT_THAT(error_with<uint64_t>(image, image.end64 + 24, huge), HasSubstr("several disks"));
  EXPECT_THAT(error_with<uint64_t>(image, image.end64 + 40, huge), HasSubstr("truncated"));
  EXPECT_THAT(error_with<uint64_t>(image, image.end64 + 40, ~uint64_t{0}), HasSubstr("truncated"));
  EXPECT_THAT(error_with<uint64_t>(image, image.end64 + 48, ~uint64_t{0}), HasSubstr("truncated"));
  ZipImage many = image;
  put<uint64_t>(many.bytes, image.end64 + 24, huge);
  put<uint64_t>(many.bytes, image.end64 + 32, huge);
  EXPECT_THAT(error_in(many.bytes), HasSubstr("no room for the 1152921504606846976 entries"));
}

TEST(ZipArchive, WhatTorchSaveNeverWritesIsRefusedByEntry) {
  const ZipImage image = two();
  EXPECT_THAT(error_with<uint16_t>(image, image.directory[1] + 8, 1),
              AllOf(HasSubstr("'a/second' is encrypted")));
  EXPECT_THAT(error_with<uint16_t>(image, image.directory[1] + 10, 8),
              HasSubstr("not that of the directory's"));
  EXPECT_THAT(error_with<uint32_t>(image, image.directory[0] + 20, 4),
              HasSubstr("stored in 4 bytes but has 5"));
  EXPECT_THAT(error_with<uint16_t>(image, image.directory[0] + 34, 3), HasSubstr("another disk"));
}

TEST(ZipArchive, ACompressedEntryIsRefusedWhenItIsRead) {
  ZipImage image = two();
  put<uint16_t>(image.bytes, image.directory[1] + 10, 8);
  put<uint16_t>(image.bytes, image.local[1] + 8, 8);
  const ZipArchive zip(image.span(), "x.bin");
  EXPECT_EQ(text_of(zip, "a/first"), "12345");
  EXPECT_THAT(error_of([&] { zip.data(*zip.find("a/second")); }),
              AllOf(HasSubstr("'x.bin' at byte"), HasSubstr("'a/second' is compressed (method 8)")));
}

TEST(ZipArchive, EntriesMustLieWhereTheDirectorySays) {
  const ZipImage image = two();
  EXPECT_THAT(error_with<uint32_t>(image, image.directory[1], 7), HasSubstr("no directory entry lies here"));
  EXPECT_THAT(error_with<uint32_t>(image, image.directory[1] + 42, 5), HasSubstr("no local header"));
  EXPECT_THAT(error_with<uint32_t>(image, image.directory[1] + 42, 0),
              HasSubstr("not that of the directory's"));
  EXPECT_THAT(error_with<uint32_t>(image, image.directory[1] + 42, 0x7fffffff),
              HasSubstr("behind the directory"));
  EXPECT_THAT(error_with<uint16_t>(image, image.directory[1] + 28, 0xfff0),
              HasSubstr("name needs 65520 bytes"));
  EXPECT_THAT(error_with<uint16_t>(image, image.directory[1] + 30, 0xfff0),
              HasSubstr("extra field needs 65520"));
  EXPECT_THAT(error_with<uint16_t>(image, image.local[1] + 28, 0xfff0), HasSubstr("extra field needs 65520"));
  EXPECT_THAT(error_with<uint32_t>(image, image.local[0] + 18, 6), HasSubstr("6 bytes here but 5"));
  ZipImage longer = image;
  for (size_t at :
       {image.directory[1] + 20, image.directory[1] + 24, image.local[1] + 18, image.local[1] + 22})
    put<uint32_t>(longer.bytes, at, 5000);
  EXPECT_THAT(error_in(longer.bytes), HasSubstr("an entry's data needs 5000 bytes"));
}

TEST(ZipArchive, EntriesMayNeitherOverlapNorRepeatAName) {
  ZipImage overlapping = two();
  for (size_t at : {overlapping.directory[0] + 20, overlapping.directory[0] + 24, overlapping.local[0] + 18})
    put<uint32_t>(overlapping.bytes, at, 10);
  EXPECT_THAT(error_in(overlapping.bytes), HasSubstr("'a/second' overlaps"));
  EXPECT_THAT(error_in(zip_image({{"a/x", "1"}, {"a/x", "2"}}).bytes), HasSubstr("'a/x' appears twice"));
  ZipImage same = two();
  put<uint32_t>(same.bytes, same.directory[1] + 42, 0);
  std::memcpy(same.bytes.data() + same.directory[1] + 46, "a/first", 7);
  EXPECT_NE(error_in(same.bytes), "no error");
}

TEST(ZipArchive, AZip64FieldTooShortIsAnError) {
  const ZipImage image = two(true);
  const size_t extra = image.directory[0] + 46 + 7;
  EXPECT_THAT(error_with<uint16_t>(image, extra + 2, 16), HasSubstr("zip64 field is too short"));
  EXPECT_THAT(error_with<uint16_t>(image, extra + 2, 600), HasSubstr("an extra field claims 600 bytes"));
}

TEST(ZipArchive, AChecksumTellsADamagedEntry) {
  ZipImage image = two();
  image.bytes[image.directory_begin - 1] ^= 1;
  const ZipArchive zip(image.span(), "x.bin");
  zip.check_crc(*zip.find("a/first"));
  EXPECT_THAT(error_of([&] { zip.check_crc(*zip.find("a/second")); }), HasSubstr("'a/second' is damaged"));
}

TEST(Crc32, IsTheOneOfZip) { EXPECT_EQ(crc32(image_of("123456789")), 0xcbf43926u); }

}  // namespace
}  // namespace deepspeed::formats
