#include "deepspeed/launcher/host_filter.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "deepspeed/base/error.h"

namespace deepspeed::launcher {
namespace {

const HostPool kPool = {{"w0", {0, 1, 2, 3}}, {"w1", {0, 1, 2, 3}}};

std::string error_of(const std::string& include, const std::string& exclude) {
  try {
    filter_hosts(kPool, include, exclude);
  } catch (const base::Error& error) {
    return error.what();
  }
  return "";
}

TEST(HostFilter, WithoutFiltersKeepsThePool) { EXPECT_EQ(filter_hosts(kPool, "", ""), kPool); }

TEST(HostFilter, IncludeKeepsWhatIsNamed) {
  EXPECT_EQ(filter_hosts(kPool, "w1:0,3", ""), (HostPool{{"w1", {0, 3}}}));
  EXPECT_EQ(filter_hosts(kPool, "w1", ""), (HostPool{{"w1", {0, 1, 2, 3}}}));
  EXPECT_EQ(filter_hosts(kPool, "w1@w0:3", ""), (HostPool{{"w0", {3}}, {"w1", {0, 1, 2, 3}}}));
}

TEST(HostFilter, SpecsOfOneHostMergeSortedAndUnique) {
  EXPECT_EQ(filter_hosts(kPool, "w0:1@w0:0,1", ""), (HostPool{{"w0", {0, 1}}}));
  EXPECT_EQ(filter_hosts(kPool, "w0:3,1,3", ""), (HostPool{{"w0", {1, 3}}}));
  EXPECT_EQ(filter_hosts(kPool, "w0:1@w0", ""), (HostPool{{"w0", {0, 1, 2, 3}}}));
}

TEST(HostFilter, ExcludeKeepsTheRest) {
  EXPECT_EQ(filter_hosts(kPool, "", "w1"), (HostPool{{"w0", {0, 1, 2, 3}}}));
  EXPECT_EQ(filter_hosts(kPool, "", "w0:0,1@w1:3"), (HostPool{{"w0", {2, 3}}, {"w1", {0, 1, 2}}}));
  EXPECT_EQ(filter_hosts(kPool, "", "w0:1@w0:1"), (HostPool{{"w0", {0, 2, 3}}, {"w1", {0, 1, 2, 3}}}));
  EXPECT_EQ(filter_hosts(kPool, "", "w0:0,1,2,3@w1"), HostPool{});
}

TEST(HostFilter, NamesTheSpecThatIsWrong) {
  EXPECT_THAT(error_of("", "w1@w0:1@5"), testing::HasSubstr("host '5' is not among"));
  EXPECT_THAT(error_of("w2", ""), testing::HasSubstr("--include 'w2': host 'w2' is not among"));
  EXPECT_THAT(error_of("w0:4", ""), testing::HasSubstr("host 'w0' has no slot 4"));
  EXPECT_THAT(error_of("w0:x", ""), testing::HasSubstr("slot 'x' is not a whole number"));
  EXPECT_THAT(error_of("w0:1,", ""), testing::HasSubstr("slot '' is not a whole number"));
  EXPECT_THAT(error_of("w0:1.5", ""), testing::HasSubstr("slot '1.5' is not a whole number"));
  EXPECT_THAT(error_of("w0:0:1", ""), testing::HasSubstr("more than one ':'"));
  EXPECT_THAT(error_of("w0@", ""), testing::HasSubstr("host '' is not among"));
  EXPECT_THAT(error_of("", "w0:-1"), testing::HasSubstr("--exclude 'w0:-1': host 'w0' has no slot -1"));
  EXPECT_THAT(error_of("w0", "w1"), testing::HasSubstr("cannot be given together"));
}

}  // namespace
}  // namespace deepspeed::launcher
