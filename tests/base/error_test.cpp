#include "deepspeed/base/error.h"

#include <gtest/gtest.h>

namespace deepspeed::base {
namespace {

TEST(Error, FailFormatsItsMessage) {
  try {
    fail("'{}' holds {} bytes", "x", 3);
    FAIL() << "did not throw";
  } catch (const Error& error) {
    EXPECT_STREQ(error.what(), "'x' holds 3 bytes");
  }
}

TEST(Error, IsOneLineWhateverItsWriterPutIn) {
  try {
    fail("no tensor '{}'", "a\nb\r\tc\x7f\x1b[31m d\u00e9");
    FAIL() << "did not throw";
  } catch (const Error& error) {
    EXPECT_STREQ(error.what(), "no tensor 'a\\x0ab\\x0d\\x09c\\x7f\\x1b[31m d\u00e9'");
  }
}

TEST(Error, ACheckThatHoldsEvaluatesItsMessageNever) {
  int evaluated = 0;
  auto note = [&] { return ++evaluated; };
  DS_CHECK(true, "{}", note());
  EXPECT_EQ(evaluated, 0);
  EXPECT_THROW(DS_CHECK(1 > 2, "{}", note()), Error);
  EXPECT_EQ(evaluated, 1);
}

TEST(Error, ACheckIsOneStatement) {
  bool reached = false;
  if (false)
    DS_CHECK(false, "never");
  else
    reached = true;
  EXPECT_TRUE(reached);
}

}  // namespace
}  // namespace deepspeed::base
