// Loading libtorch costs 0.3 s and 130 MB, which commands that hold no tensors do not pay.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/command.h"

namespace deepspeed::tools {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class TorchFree : public ::testing::TestWithParam<const char*> {};

TEST_P(TorchFree, CommandDoesNotLinkLibtorch) {
  const auto result = test_support::run_command({"ldd", std::string(DS_BIN_DIR "/") + GetParam()});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(result.out, HasSubstr("libc.so"));
  for (const char* library : {"torch", "libc10", "mkl", "libgomp"})
    EXPECT_THAT(result.out, Not(HasSubstr(library)));
}

INSTANTIATE_TEST_SUITE_P(Tools, TorchFree,
                         ::testing::Values("deepspeed", "ds_io", "ds_nvme_tune", "ds_report", "ds_tokenizer"),
                         [](const auto& info) { return std::string(info.param); });

}  // namespace
}  // namespace deepspeed::tools
