#include "deepspeed/formats/megatron_index.h"

#include <gmock/gmock.h>

#include <cstring>
#include <functional>

#include "deepspeed/base/error.h"

namespace deepspeed::formats {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

const std::filesystem::path kGoldens = std::filesystem::path(DS_SOURCE_DIR) / "tests/data/goldens";

// An index of our own making, any part of which a test may spoil.
struct Image {
  std::string magic{MegatronIndex::kMagic};
  uint64_t version = 1;
  uint8_t code = 4;
  std::optional<uint64_t> sequences, marks;  // what is claimed; by default the arrays' sizes
  std::vector<int32_t> lengths{3, 2};
  std::vector<int64_t> offsets{0, 12}, documents{0, 1, 2};
  std::string after;
  uint64_t data_bytes = 20;

  std::string bytes() const {
    std::string out = magic;
    const auto add = [&](const void* from, size_t size) { out.append(static_cast<const char*>(from), size); };
    const uint64_t n = sequences.value_or(lengths.size()), d = marks.value_or(documents.size());
    add(&version, 8), add(&code, 1), add(&n, 8), add(&d, 8);
    add(lengths.data(), lengths.size() * 4), add(offsets.data(), offsets.size() * 8);
    add(documents.data(), documents.size() * 8);
    return out + after;
  }
};

std::string error_of_bytes(const std::string& bytes, uint64_t data_bytes) {
  try {
    MegatronIndex::from_bytes(std::as_bytes(std::span(bytes)), "a.idx", data_bytes);
  } catch (const base::Error& error) {
    EXPECT_THAT(error.what(), AllOf(HasSubstr("'a.idx'"), Not(HasSubstr("\n"))));
    return error.what();
  }
  return "none";
}

std::string error_with(const std::function<void(Image&)>& change) {
  Image image;
  change(image);
  return error_of_bytes(image.bytes(), image.data_bytes);
}

TEST(MegatronIndex, ReadsGoldensOfEveryKindOfDocumentMarks) {
  const MegatronIndex plain(kGoldens / "u16.idx", 30), two(kGoldens / "i32.idx", 36),
      none(kGoldens / "scattered.idx", 56), deepspeed(kGoldens / "deepspeed_u16.idx", 30);
  EXPECT_EQ(plain.type().bytes, 2);
  EXPECT_FALSE(plain.type().is_signed);
  ASSERT_EQ(plain.documents(), 3);
  EXPECT_EQ(plain.length(2), 7);
  EXPECT_EQ(plain.offset(2), 16);
  ASSERT_EQ(two.sequences(), 4);
  ASSERT_EQ(two.documents(), 2);
  EXPECT_EQ(two.first_sequence(1), 2);
  EXPECT_EQ(two.first_sequence(2), 4);
  ASSERT_EQ(none.documents(), 3);  // the only mark is 0: each sequence a document
  EXPECT_EQ(none.offset(0), 32);
  EXPECT_EQ(none.first_sequence(3), 3);
  EXPECT_EQ(deepspeed.type().bytes, 2);
}

TEST(MegatronIndex, TellsTheTypesOfTheTwoWritersApartByTheDataSize) {
  const auto type = [](uint8_t code, uint64_t data_bytes, int64_t second) {
    Image image;
    image.code = code;
    image.offsets[1] = second;
    const std::string bytes = image.bytes();
    return MegatronIndex::from_bytes(std::as_bytes(std::span(bytes)), "a.idx", data_bytes).type().bytes;
  };
  EXPECT_EQ(type(8, 10, 6), 2);   // Megatron's uint16
  EXPECT_EQ(type(8, 40, 24), 8);  // DeepSpeed's uint64
  EXPECT_EQ(type(6, 10, 6), 2);   // DeepSpeed's uint16
  EXPECT_EQ(type(7, 20, 12), 4);
  EXPECT_THAT(error_with([](Image& i) { i.code = 6, i.data_bytes = 40, i.offsets[1] = 24; }),
              HasSubstr("float64"));
}

TEST(MegatronIndex, EmptyIsFine) {
  EXPECT_EQ(error_with([](Image& i) { i.lengths = {}, i.offsets = {}, i.documents = {0}, i.data_bytes = 0; }),
            "none");
  EXPECT_EQ(error_with([](Image& i) { i.lengths = {}, i.offsets = {}, i.documents = {}; }), "none");
}

TEST(MegatronIndex, RefusesOtherFilesVersionsAndTypes) {
  EXPECT_EQ(error_with([](Image&) {}), "none");
  EXPECT_THAT(error_of_bytes("", 0), HasSubstr("does not begin with MMIDIDX"));
  EXPECT_THAT(error_with([](Image& i) { i.magic = "GGUF....."; }), HasSubstr("no Megatron index"));
  EXPECT_THAT(error_with([](Image& i) { i.magic = std::string("TNTIDX\0\0", 8); }), HasSubstr("TNTIDX"));
  EXPECT_THAT(error_with([](Image& i) { i.version = 2; }), HasSubstr("version 2"));
  EXPECT_THAT(error_with([](Image& i) { i.code = 0; }), HasSubstr("type code 0"));
  EXPECT_THAT(error_with([](Image& i) { i.code = 9; }), HasSubstr("type code 9"));
}

TEST(MegatronIndex, RefusesEveryTruncationAndWhatComesAfterTheEnd) {
  const std::string whole = Image().bytes();
  for (size_t size = 0; size < whole.size(); ++size)
    EXPECT_NE(error_of_bytes(whole.substr(0, size), 20), "none") << size;
  EXPECT_THAT(error_of_bytes(whole.substr(0, 20), 20), HasSubstr("cut short"));
  EXPECT_THAT(error_of_bytes(whole + "x", 20), HasSubstr("1 bytes after its end"));
  EXPECT_THAT(error_of_bytes(whole + "mm", 20), HasSubstr("multimodal"));
}

TEST(MegatronIndex, RefusesAbsurdCountsWithoutOverflow) {
  for (const uint64_t count : {uint64_t{3}, uint64_t{1} << 31, uint64_t{1} << 60, ~uint64_t{0}}) {
    EXPECT_THAT(error_with([&](Image& i) { i.sequences = count * 12; }), HasSubstr("sequences"));
    EXPECT_THAT(error_with([&](Image& i) { i.marks = count | 4; }), HasSubstr("marks"));
  }
}

TEST(MegatronIndex, RefusesSequencesOutsideTheData) {
  EXPECT_THAT(error_with([](Image& i) { i.data_bytes = 19; }),
              HasSubstr("sequence 1 takes bytes 12 to 20 of a .bin that has 19"));
  EXPECT_THAT(error_with([](Image& i) { i.lengths[0] = -1; }), HasSubstr("sequence 0 has length -1"));
  EXPECT_THAT(error_with([](Image& i) { i.offsets[1] = -4; }), HasSubstr("offset -4"));
  EXPECT_THAT(error_with([](Image& i) { i.offsets[1] = std::numeric_limits<int64_t>::max(); }),
              HasSubstr("sequence 1"));
  EXPECT_THAT(error_with([](Image& i) { i.lengths[0] = std::numeric_limits<int32_t>::max(); }),
              HasSubstr("sequence 0"));
}

TEST(MegatronIndex, RefusesDocumentMarksThatDoNotRiseFromFirstToLast) {
  EXPECT_THAT(error_with([](Image& i) { i.documents = {1, 2}; }), HasSubstr("mark 0 is 1"));
  EXPECT_THAT(error_with([](Image& i) { i.documents = {0, 2, 1}; }), HasSubstr("mark 2 is 1"));
  EXPECT_THAT(error_with([](Image& i) { i.documents = {0, 1, 3}; }), HasSubstr("mark 2 is 3"));
  EXPECT_THAT(error_with([](Image& i) { i.documents = {0, -1, 2}; }), HasSubstr("mark 1 is -1"));
  EXPECT_THAT(error_with([](Image& i) { i.documents = {0, 1}; }), HasSubstr("end at sequence 1 of 2"));
}

}  // namespace
}  // namespace deepspeed::formats
