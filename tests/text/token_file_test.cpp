#include "deepspeed/text/token_file.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "deepspeed/base/error.h"
#include "deepspeed/base/file.h"

namespace deepspeed::text {
namespace {

using ::testing::ElementsAre;

class TokenFile : public ::testing::Test {
 protected:
  void TearDown() override { std::filesystem::remove(path_); }
  std::filesystem::path path_ =
      std::filesystem::temp_directory_path() / fmt::format("ds_tokens_{}.bin", ::getpid());
};

TEST_F(TokenFile, IdsAreLittleEndianAndComeBack) {
  const std::vector<int32_t> ids = {1, 258, 65535};
  write_token_file(path_, ids, TokenWidth::kU16);
  EXPECT_EQ(base::read_text_file(path_), std::string("\x01\x00\x02\x01\xFF\xFF", 6));
  EXPECT_THAT(read_token_file(path_, TokenWidth::kU16), ElementsAre(1, 258, 65535));
  write_token_file(path_, ids, TokenWidth::kU32);
  EXPECT_EQ(std::filesystem::file_size(path_), 12u);
  EXPECT_THAT(read_token_file(path_, TokenWidth::kU32), ElementsAre(1, 258, 65535));
}

TEST_F(TokenFile, AnIdThatDoesNotFitIsNamedAndTheOldFileStays) {
  write_token_file(path_, std::vector<int32_t>{7}, TokenWidth::kU16);
  try {
    write_token_file(path_, std::vector<int32_t>{1, 70000}, TokenWidth::kU16);
    FAIL();
  } catch (const base::Error& error) {
    EXPECT_EQ(std::string(error.what()),
              path_.string() + ": token id 70000 does not fit in u16; store u32 instead");
  }
  EXPECT_THAT(read_token_file(path_, TokenWidth::kU16), ElementsAre(7));
}

TEST_F(TokenFile, BrokenFilesAreRefused) {
  base::write_text_file(path_, "abc");
  EXPECT_THROW(read_token_file(path_, TokenWidth::kU16), base::Error);
  EXPECT_THROW(read_token_file(path_, TokenWidth::kU32), base::Error);
  base::write_text_file(path_, "\xFF\xFF\xFF\xFF");
  EXPECT_THROW(read_token_file(path_, TokenWidth::kU32), base::Error);
  EXPECT_THROW(read_token_file(path_.string() + ".missing", TokenWidth::kU32), base::Error);
  EXPECT_THROW(parse_token_width("i8"), base::Error);
}

}  // namespace
}  // namespace deepspeed::text
