#include "deepspeed/data/open_tokens.h"

#include <gmock/gmock.h>
#include <unistd.h>

#include <fstream>

#include "deepspeed/base/error.h"
#include "deepspeed/base/file.h"

namespace deepspeed::data {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAreArray;
using ::testing::HasSubstr;

class OpenTokens : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::temp_directory_path() / ("ds_open_" + std::to_string(::getpid()));
    fs::create_directories(folder_);
    options_.tokenizer = [this]() -> const text::Tokenizer& { return tokenizer_; };
  }
  void TearDown() override { fs::remove_all(folder_); }

  fs::path write(const std::string& name, const std::string& bytes) {
    std::ofstream(folder_ / name, std::ios::binary) << bytes;
    return folder_ / name;
  }
  std::string error_of(const fs::path& path) {
    try {
      open_tokens(path, options_);
    } catch (const base::Error& error) {
      return error.what();
    }
    return "none";
  }
  static std::vector<int64_t> ids(const TokenStore& store, const Document& d) {
    std::vector<int64_t> out(static_cast<size_t>(d.end - d.begin));
    store.read(d.begin, out);
    return out;
  }
  std::vector<int64_t> encoded(const std::string& text) const {
    const auto ids = tokenizer_.encode_ids(text);
    return {ids.begin(), ids.end()};
  }

  static fs::path golden(const std::string& name) {
    return fs::path(DS_SOURCE_DIR) / "tests/data/goldens" / name;
  }
  text::Tokenizer tokenizer_ =
      text::Tokenizer::from_file(fs::path(DS_SOURCE_DIR) / "tests/text/goldens/gpt2.json");
  OpenOptions options_;
  fs::path folder_;
};

TEST_F(OpenTokens, LinesBecomeDocumentsThatEndWithTheEndOfText) {
  const auto store = open_tokens(write("a.jsonl",
                                       "{\"text\": \"In the beginning\"}\n"
                                       "{\"prompt\": \"And God\", \"response\": \" said\"}\n"),
                                 options_);
  const int64_t end = tokenizer_.token_to_id("<|endoftext|>").value();
  ASSERT_EQ(store->documents(), 2);
  auto want = encoded("In the beginning");
  want.push_back(end);
  EXPECT_THAT(ids(*store, store->document(0)), ElementsAreArray(want));
  EXPECT_EQ(store->document(0).learnt, 0);
  want = encoded("And God");
  const auto prompt = static_cast<int64_t>(want.size());
  for (int64_t id : encoded(" said")) want.push_back(id);
  want.push_back(end);
  EXPECT_THAT(ids(*store, store->document(1)), ElementsAreArray(want));
  EXPECT_EQ(store->document(1).learnt, store->document(1).begin + prompt);
}

TEST_F(OpenTokens, ATextIsOneDocumentAndPlainIdsHaveNone) {
  const auto text = open_tokens(write("a.txt", "In the beginning"), options_);
  ASSERT_EQ(text->documents(), 1);
  EXPECT_THAT(ids(*text, text->document(0)), ElementsAreArray(encoded("In the beginning")));
  EXPECT_EQ(open_tokens(write("a.bin", std::string("\1\0\2\0", 4)), options_)->documents(), 0);
}

TEST_F(OpenTokens, MegatronDataIsFoundByItsIndexUnderAnyOfItsNames) {
  for (const char* name : {"u16.bin", "u16.idx", "u16"})
    EXPECT_EQ(open_tokens(golden(name), options_)->documents(), 3) << name;
}

TEST_F(OpenTokens, HalvesAndForeignFilesAreExplained) {
  fs::copy(golden("u16.idx"), folder_ / "half.idx");
  EXPECT_THAT(error_of(folder_ / "half.idx"), HasSubstr("half.bin', are missing"));
  fs::copy(golden("u16.idx"), folder_ / "index.bin");
  EXPECT_THAT(error_of(folder_ / "index.bin"), HasSubstr("name it .idx"));
  write("other.idx", "something else");
  EXPECT_THAT(error_of(write("other.bin", "12")), HasSubstr("no Megatron index"));
  EXPECT_THAT(error_of(folder_ / "data.parquet"), HasSubstr(".txt, .jsonl, .bin"));
  EXPECT_THAT(error_of(folder_ / "none.bin"), HasSubstr("none.bin"));
  EXPECT_THAT(error_of(write("b.jsonl", "{\"text\": \"a\"}\n{\"txt\": \"a\"}\n")),
              HasSubstr("b.jsonl:2: no field 'text'"));
}

}  // namespace
}  // namespace deepspeed::data
