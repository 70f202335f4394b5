// The command as people run it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <filesystem>

#include "deepspeed/base/file.h"
#include "deepspeed/text/tokenizer.h"

namespace deepspeed::text {
namespace {

using ::testing::HasSubstr;
namespace fs = std::filesystem;

struct Outcome {
  int code;
  std::string output;  // both streams
};

class DsTokenizer : public ::testing::Test {
 protected:
  void SetUp() override { fs::create_directories(folder_); }
  void TearDown() override { fs::remove_all(folder_); }
  std::string path(const char* name) const { return (folder_ / name).string(); }

  Outcome run(const std::string& arguments) const {
    std::FILE* pipe = ::popen((DS_BIN_DIR "/ds_tokenizer " + arguments + " 2>&1").c_str(), "r");
    std::string output;
    std::array<char, 4096> block;
    for (size_t n; (n = std::fread(block.data(), 1, block.size(), pipe)) > 0;) output.append(block.data(), n);
    return {WEXITSTATUS(::pclose(pipe)), output};
  }

  fs::path folder_ = fs::temp_directory_path() / ("ds_tokenizer_" + std::to_string(::getpid()));
  std::string text_ = std::string(DS_SOURCE_DIR) + "/tests/text/goldens/genesis.txt";
};

TEST_F(DsTokenizer, TrainsEncodesAndDecodes) {
  const std::string json = path("new/tokenizer.json");
  Outcome trained = run("train --input " + text_ + " --vocab-size 400 --output " + json +
                        " --special-token '<a>' --special-token '<b>'");
  ASSERT_EQ(trained.code, 0) << trained.output;
  EXPECT_THAT(trained.output, HasSubstr("400 tokens learnt"));
  EXPECT_EQ(Tokenizer::from_file(json).token_to_id("<b>"), 1);
  EXPECT_THAT(run("info --tokenizer " + json).output, HasSubstr("largest id  399"));
  for (const char* dtype : {"u16", "u32"}) {
    const std::string options = std::string(" --dtype ") + dtype + " --tokenizer " + json;
    ASSERT_EQ(run("encode --input " + text_ + " --output " + path("t.bin") + options).code, 0);
    ASSERT_EQ(run("decode --input " + path("t.bin") + " --output " + path("t.txt") + options).code, 0);
    EXPECT_EQ(base::read_text_file(path("t.txt")), base::read_text_file(text_));
    EXPECT_EQ(run("decode --input " + path("t.bin") + options).output, base::read_text_file(text_));
  }
}

TEST_F(DsTokenizer, AnswersBadInputWithOneLineAndAnExitCode) {
  base::write_text_file(path("latin1.txt"), "caf\xE9");
  base::write_text_file(path("broken.json"), "{");
  const std::string json = std::string(DS_SOURCE_DIR) + "/tests/text/goldens/gpt2.json";
  const std::pair<std::string, const char*> cases[] = {
      {"train --input /nonexistent.txt --output " + path("a.json"), "/nonexistent.txt"},
      {"train --input " + path("latin1.txt") + " --output " + path("a.json"),
       "latin1.txt: byte 3 (0xe9) is not UTF-8"},
      {"train --input " + text_ + " --vocab-size 10 --output " + path("a.json"), "vocab_size 10 cannot hold"},
      {"encode --tokenizer " + path("broken.json") + " --input " + text_ + " --output " + path("t.bin"),
       "not valid JSON"},
      {"encode --tokenizer " + path("none.json") + " --input " + text_ + " --output " + path("t.bin"),
       "none.json"},
      {"encode --tokenizer " + json + " --input " + text_ + " --output " + path("t.bin") + " --dtype i8",
       "u16 or u32"},
      {"decode --tokenizer " + json + " --input " + path("latin1.txt") + " --dtype u32 --output " + path("x"),
       "no token id"},
  };
  for (const auto& [arguments, message] : cases) {
    const Outcome outcome = run(arguments);
    EXPECT_EQ(outcome.code, 1) << arguments;
    EXPECT_THAT(outcome.output, HasSubstr(message));
    EXPECT_EQ(std::count(outcome.output.begin(), outcome.output.end(), '\n'), 1) << outcome.output;
  }
  EXPECT_FALSE(fs::exists(path("t.bin")));
  EXPECT_FALSE(fs::exists(path("a.json")));
  EXPECT_EQ(run("").code, 2);
  EXPECT_EQ(run("encode").code, 2);
}

TEST_F(DsTokenizer, RefusesIdsThatDoNotFitInU16) {
  base::write_text_file(path("big.json"), R"({"model": {"type": "BPE", "vocab": {"a": 70000}, "merges": []},
    "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false}, "decoder": {"type": "ByteLevel"}})");
  base::write_text_file(path("a.txt"), "a");
  const std::string rest =
      " --tokenizer " + path("big.json") + " --input " + path("a.txt") + " --output " + path("t.bin");
  const Outcome refused = run("encode" + rest);
  EXPECT_EQ(refused.code, 1);
  EXPECT_THAT(refused.output, HasSubstr("token id 70000 does not fit in u16; store u32 instead"));
  EXPECT_EQ(run("encode --dtype u32" + rest).code, 0);
}

TEST_F(DsTokenizer, DoesNotLoadLibtorch) {
  std::FILE* pipe = ::popen("ldd " DS_BIN_DIR "/ds_tokenizer", "r");
  std::string output;
  std::array<char, 4096> block;
  for (size_t n; (n = std::fread(block.data(), 1, block.size(), pipe)) > 0;) output.append(block.data(), n);
  ::pclose(pipe);
  EXPECT_THAT(output, HasSubstr("libc.so"));
  EXPECT_EQ(output.find("torch"), std::string::npos) << output;
}

}  // namespace
}  // namespace deepspeed::text
