#include "deepspeed/base/log.h"

#include <gmock/gmock.h>

#include <thread>
#include <vector>

#include "deepspeed/base/error.h"

namespace deepspeed::base {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

template <class Call>
std::string logged(Call&& call) {
  ::testing::internal::CaptureStderr();
  call();
  return ::testing::internal::GetCapturedStderr();
}

TEST(Log, LinesBelowTheLevelAreNotWritten) {
  for (LogLevel level :
       {LogLevel::kDebug, LogLevel::kInfo, LogLevel::kWarning, LogLevel::kError, LogLevel::kCritical}) {
    set_log_level(level);
    const std::string text = logged([] {
      log_debug("one {}", 1);
      log_info("two {}", 2);
      log_warning("three {}", 3);
      log_error("four {}", 4);
    });
    EXPECT_EQ(text.find("one 1") != text.npos, level <= LogLevel::kDebug);
    EXPECT_EQ(text.find("two 2") != text.npos, level <= LogLevel::kInfo);
    EXPECT_EQ(text.find("three 3") != text.npos, level <= LogLevel::kWarning);
    EXPECT_EQ(text.find("four 4") != text.npos, level <= LogLevel::kError);
  }
  set_log_level(LogLevel::kInfo);
}

TEST(Log, ALineHasItsLevelAndBracesOfTheTextAreKept) {
  const std::string text = logged([] { log_line(LogLevel::kWarning, "{} %s"); });
  EXPECT_THAT(text, AllOf(HasSubstr("[warning]"), HasSubstr("{} %s")));
}

TEST(Log, LinesOfSeveralThreadsStayWhole) {
  const std::string text = logged([] {
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; ++t)
      threads.emplace_back([] {
        for (int i = 0; i < 50; ++i) log_info("{}", "abcdefghijklmnopqrstuvwxyz");
      });
    for (auto& thread : threads) thread.join();
  });
  size_t count = 0;
  for (size_t at = 0; (at = text.find("] abcdefghijklmnopqrstuvwxyz\n", at)) != text.npos; ++at) ++count;
  EXPECT_EQ(count, 200u);
}

TEST(Log, LevelsHaveTheNamesOfTheLauncherFlag) {
  EXPECT_EQ(parse_log_level("debug"), LogLevel::kDebug);
  EXPECT_EQ(parse_log_level("critical"), LogLevel::kCritical);
  EXPECT_THROW(parse_log_level("loud"), Error);
}

}  // namespace
}  // namespace deepspeed::base
