// Every command explains itself and refuses what it does not know in one line.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/command.h"

namespace deepspeed::tools {
namespace {

using ::testing::HasSubstr;

class Answers : public ::testing::TestWithParam<const char*> {
 protected:
  test_support::CommandResult run(const std::string& argument) {
    return test_support::run_command({std::string(DS_BIN_DIR "/") + GetParam(), argument});
  }
};

TEST_P(Answers, HelpShowsExamples) {
  const auto result = run("--help");
  EXPECT_EQ(result.exit_code, 0);
  EXPECT_EQ(result.err, "");
  EXPECT_THAT(result.out, HasSubstr("Examples:"));
  EXPECT_THAT(result.out, HasSubstr(std::string("  ") + GetParam() + " "));
}

TEST_P(Answers, VersionIsOneLine) {
  const auto result = run("--version");
  EXPECT_EQ(result.exit_code, 0);
  EXPECT_EQ(test_support::count_lines(result.out), 1u);
  EXPECT_THAT(result.out, ::testing::ContainsRegex("[0-9]+[.][0-9]+[.][0-9]+"));
}

TEST_P(Answers, AnUnknownOptionIsOneLineAndExitCodeTwo) {
  const auto result = run("--no-such-option");
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_EQ(test_support::count_lines(result.err), 1u) << result.err;
  EXPECT_THAT(result.err, HasSubstr(std::string(GetParam()) + ": "));
  EXPECT_THAT(result.err, HasSubstr(std::string(GetParam()) + " --help"));
}

INSTANTIATE_TEST_SUITE_P(Tools, Answers,
                         ::testing::Values("deepspeed", "ds_io", "ds_nvme_tune", "ds_report", "ds_tokenizer"),
                         [](const auto& info) { return std::string(info.param); });

}  // namespace
}  // namespace deepspeed::tools
