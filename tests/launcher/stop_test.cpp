// However a launch ends, no process of it is left and the exit code says why.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <thread>

#include "tests/support/command.h"

namespace deepspeed::launcher {
namespace {

using test_support::Command;
using test_support::CommandResult;
using test_support::run_command;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using namespace std::chrono_literals;

std::vector<std::string> two_ranks(const std::string& script) {
  return {DS_BIN_DIR "/deepspeed",
          "-q",
          "--num_accelerators",
          "2",
          "--master_port",
          "0",
          "--no_local_rank",
          "bash",
          "-c",
          script};
}

/// Every rank has two children, one of them in a session of its own and orphaned.
const std::string kFamily = "sleep 60 & (setsid sleep 60 &); echo ready$RANK $PPID; wait";

TEST(Stop, TheExitCodeIsTheFailingRanksAndTheOthersEnd) {
  const auto result = run_command(two_ranks(
      "if test $RANK = 1; then for i in $(seq 30); do echo cause $i >&2; done; exit 7; fi; sleep 60"));
  EXPECT_EQ(result.exit_code, 7);
  EXPECT_LT(result.seconds, 5);
  EXPECT_THAT(result.left, IsEmpty());
  EXPECT_THAT(result.err, HasSubstr("rank 1"));
  EXPECT_THAT(result.err, HasSubstr("exited with code 7"));
  EXPECT_THAT(result.err, HasSubstr("[rank 1] cause 11\n"));
  EXPECT_THAT(result.err, HasSubstr("[rank 1] cause 30\n"));
  EXPECT_THAT(result.err, Not(HasSubstr("[rank 1] cause 10\n")));
}

TEST(Stop, ARankKilledBySignalNGives128PlusN) {
  for (int signal : {SIGKILL, SIGSEGV, SIGTERM}) {
    const auto result = run_command(two_ranks("if test $RANK = 0; then ulimit -c 0; kill -" +
                                              std::to_string(signal) + " $$; fi; sleep 60"));
    EXPECT_EQ(result.exit_code, 128 + signal);
    EXPECT_THAT(result.left, IsEmpty());
    EXPECT_THAT(result.err, HasSubstr("signal " + std::to_string(signal)));
  }
}

TEST(Stop, RanksAndGrandchildrenThatIgnoreSigtermAreGoneWithinFiveSeconds) {
  const auto result = run_command(
      two_ranks("if test $RANK = 1; then sleep .2; exit 3; fi; trap '' TERM; "
                "setsid bash -c \"trap '' TERM; while :; do sleep 1; done\" & while :; do sleep 1; done"));
  EXPECT_EQ(result.exit_code, 3);
  EXPECT_LT(result.seconds, 5);
  EXPECT_GT(result.seconds, 2);  // they had their time to clean up
  EXPECT_THAT(result.left, IsEmpty());
}

TEST(Stop, AStoppedRankEndsToo) {
  const auto result = run_command(two_ranks("if test $RANK = 1; then sleep .3; exit 3; fi; kill -STOP $$"));
  EXPECT_EQ(result.exit_code, 3);
  EXPECT_LT(result.seconds, 5);
  EXPECT_THAT(result.left, IsEmpty());
}

TEST(Stop, ProcessesThatRanksLeftBehindEndWithTheLaunch) {
  const auto result = run_command(two_ranks("setsid sleep 60 & sleep 60 & exit 0"));
  EXPECT_EQ(result.exit_code, 0);
  EXPECT_LT(result.seconds, 5);
  EXPECT_THAT(result.left, IsEmpty());
}

TEST(Stop, SignalsToTheLauncherEndTheTreesAndGive128PlusN) {
  for (int signal : {SIGINT, SIGTERM, SIGHUP}) {
    Command command(two_ranks(kFamily));
    ASSERT_TRUE(command.wait_for_output("ready0") && command.wait_for_output("ready1"));
    ASSERT_EQ(::kill(command.pid(), signal), 0);
    const auto result = command.wait();
    EXPECT_EQ(result.exit_code, 128 + signal);
    EXPECT_THAT(result.left, IsEmpty());
    EXPECT_EQ(test_support::count_lines(result.err), 1u) << result.err;
  }
}

TEST(Stop, SigkillOfTheCommandLeavesNobody) {
  Command command(two_ranks(kFamily));
  ASSERT_TRUE(command.wait_for_output("ready0") && command.wait_for_output("ready1"));
  ASSERT_EQ(::kill(command.pid(), SIGKILL), 0);
  EXPECT_EQ(command.wait().exit_code, 128 + SIGKILL);
  for (int i = 0; i < 500 && !command.processes().empty(); ++i) std::this_thread::sleep_for(10ms);
  EXPECT_THAT(command.processes(), IsEmpty());
}

TEST(Stop, SigkillOfTheWorkingProcessLeavesNobody) {
  Command command(two_ranks(kFamily));
  ASSERT_TRUE(command.wait_for_output("ready0") && command.wait_for_output("ready1"));
  const std::string out = command.out();
  const pid_t worker = std::stoi(out.substr(out.find(' ') + 1));
  ASSERT_NE(worker, command.pid());
  ASSERT_EQ(::kill(worker, SIGKILL), 0);
  const auto result = command.wait();
  EXPECT_EQ(result.exit_code, 128 + SIGKILL);
  EXPECT_LT(result.seconds, 5);
  EXPECT_THAT(result.left, IsEmpty());
}

TEST(Stop, AFloodOfErrorsDoesNotDelayTheEnd) {
  const auto result = run_command(two_ranks(
      "if test $RANK = 1; then sleep .3; exit 9; fi; while :; do echo flood flood flood >&2; done"));
  EXPECT_EQ(result.exit_code, 9);
  EXPECT_LT(result.seconds, 5);
  EXPECT_THAT(result.left, IsEmpty());
}

TEST(Stop, AReaderThatStallsDoesNotDelayTheEnd) {
  // The launcher's standard error is a pipe that nobody reads.
  const std::string inner = DS_BIN_DIR
      "/deepspeed -q --num_accelerators 2 --master_port 0 --no_local_rank bash -c "
      "'if test $RANK = 1; then sleep .3; exit 9; fi; while :; do echo flood flood >&2; done'";
  const auto result = run_command(
      {"bash", "-c", "set -o pipefail; { " + inner + "; } 2>&1 | { sleep 1.5; cat >/dev/null; }"});
  EXPECT_EQ(result.exit_code, 9);
  EXPECT_LT(result.seconds, 5);
  EXPECT_THAT(result.left, IsEmpty());
}

}  // namespace
}  // namespace deepspeed::launcher
