#include "deepspeed/launcher/hostfile.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "deepspeed/base/error.h"

namespace deepspeed::launcher {
namespace {

std::string error_of(const std::string& text) {
  try {
    parse_hostfile(text, "hosts");
  } catch (const base::Error& error) {
    return error.what();
  }
  return "";
}

TEST(Hostfile, GivesHostsInOrderWithSlotsFromZero) {
  EXPECT_EQ(parse_hostfile("w1 slots=2\nw0\tslots=3\n", "hosts"),
            (HostPool{{"w1", {0, 1}}, {"w0", {0, 1, 2}}}));
}

TEST(Hostfile, SkipsCommentsAndBlankLinesAndIgnoresWhatFollowsTheNumber) {
  EXPECT_EQ(parse_hostfile("# all\n\n  \n  w0   slots=1  max=9\r\n#w1 slots=4\nw2 slots=2 # fast", "hosts"),
            (HostPool{{"w0", {0}}, {"w2", {0, 1}}}));
}

TEST(Hostfile, ShowsNoRawBytesOfWhatIsNoHostfile) {
  EXPECT_EQ(error_of(std::string("\x7f"
                                 "ELF\x02\x01\0\x1b[2J\xff",
                                 12)),
            "hostfile hosts, line 1: '?ELF????[2J?' is not of the form 'NAME slots=N'");
  EXPECT_LT(error_of(std::string(5000, 'x')).size(), 200u);
  EXPECT_EQ(error_of("w\x1b slots=0").find('\x1b'), std::string::npos);
}

TEST(Hostfile, NamesFileAndLineOfABadLine) {
  for (const char* bad :
       {"w0", "w0 slots=", "w0 slots=x", "w0 slots=-1", "w0 gpus=4", "slots=4", "w0 slots = 4"}) {
    const std::string message = error_of("ok slots=1\n" + std::string(bad) + "\n");
    EXPECT_THAT(message, testing::HasSubstr("hostfile hosts, line 2")) << bad;
    EXPECT_THAT(message, testing::HasSubstr("NAME slots=N")) << bad;
  }
}

TEST(Hostfile, RefusesDuplicatesImpossibleCountsAndEmptyFiles) {
  EXPECT_THAT(error_of("a slots=1\nb slots=1\na slots=2\n"),
              testing::HasSubstr("line 3: host 'a' is listed twice"));
  EXPECT_THAT(error_of("a slots=0\n"), testing::HasSubstr("between 1 and"));
  EXPECT_THAT(error_of("a slots=99999999999999999999\n"), testing::HasSubstr("between 1 and"));
  EXPECT_THAT(error_of(""), testing::HasSubstr("lists no host"));
  EXPECT_THAT(error_of("# nobody\n"), testing::HasSubstr("lists no host"));
}

TEST(Hostfile, AMissingFileIsNoHostfile) { EXPECT_FALSE(read_hostfile("/nonexistent/hostfile").has_value()); }

}  // namespace
}  // namespace deepspeed::launcher
