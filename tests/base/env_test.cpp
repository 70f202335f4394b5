#include "deepspeed/base/env.h"

#include <gmock/gmock.h>

#include "deepspeed/base/error.h"

namespace deepspeed::base {
namespace {

constexpr const char* kName = "DS_BASE_TEST_VARIABLE";

TEST(Env, AnUnsetVariableIsNothingAndAnEmptyOneIsAValue) {
  ::unsetenv(kName);
  EXPECT_EQ(env(kName), std::nullopt);
  EXPECT_EQ(env_int(kName), std::nullopt);
  set_env(kName, "");
  EXPECT_EQ(env(kName), "");
}

TEST(Env, WholeNumbersAreRead) {
  for (int64_t value : {int64_t{0}, int64_t{-7}, INT64_MAX, INT64_MIN}) {
    set_env(kName, std::to_string(value));
    EXPECT_EQ(env_int(kName), value);
  }
}

TEST(Env, AnythingElseIsAnErrorThatNamesTheVariable) {
  for (const char* text : {"", " 1", "1 ", "1.5", "0x10", "+1", "9223372036854775808", "two"}) {
    set_env(kName, text);
    try {
      env_int(kName);
      ADD_FAILURE() << "accepted '" << text << "'";
    } catch (const Error& error) {
      EXPECT_THAT(error.what(), ::testing::HasSubstr(kName));
    }
  }
}

}  // namespace
}  // namespace deepspeed::base
