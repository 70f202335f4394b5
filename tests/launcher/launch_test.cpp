#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "deepspeed/launcher/core_list.h"
#include "deepspeed/launcher/topology.h"
#include "tests/support/command.h"

namespace deepspeed::launcher {
namespace {

namespace fs = std::filesystem;
using test_support::Command;
using test_support::CommandResult;
using test_support::run_command;
using test_support::sorted_lines;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

const std::string kDeepspeed = DS_BIN_DIR "/deepspeed";

/// Runs a bash script as every rank.
CommandResult run_ranks(int ranks, const std::string& script, std::vector<std::string> flags = {}) {
  std::vector<std::string> argv = {
      kDeepspeed, "--num_accelerators", std::to_string(ranks), "--master_port", "0", "--no_local_rank", "-q"};
  argv.insert(argv.end(), flags.begin(), flags.end());
  argv.insert(argv.end(), {"bash", "-c", script});
  return run_command(argv);
}

TEST(Launch, EveryRankRunsOnceWithItsEnvironment) {
  const auto result = run_ranks(3,
                                "echo $RANK $LOCAL_RANK $WORLD_SIZE $LOCAL_SIZE $CROSS_RANK $CROSS_SIZE "
                                "$MASTER_ADDR ${DS_LAUNCH_T0%.*}x");
  EXPECT_EQ(result.exit_code, 0);
  const auto lines = sorted_lines(result.out);
  ASSERT_EQ(lines.size(), 3u);
  for (size_t rank = 0; rank < 3; ++rank)
    EXPECT_THAT(lines[rank], ::testing::MatchesRegex(std::to_string(rank) + " " + std::to_string(rank) +
                                                     " 3 3 0 1 127.0.0.1 [0-9]+x"));
}

TEST(Launch, StartsOneRankWhenNoNumberIsGiven) {
  const auto result =
      run_command({kDeepspeed, "--master_port", "0", "--no_local_rank", "bash", "-c", "echo $WORLD_SIZE"},
                  {"DS_ACCELERATOR=cpu", "CUDA_VISIBLE_DEVICES="});
  EXPECT_EQ(result.out, "1\n");
}

TEST(Launch, IncludeOnLocalhostChoosesTheSlots) {
  const auto result =
      run_command({kDeepspeed, "--include", "localhost:0", "--master_port", "0", "--no_local_rank", "bash",
                   "-c", "echo $WORLD_SIZE $CUDA_VISIBLE_DEVICES"});
  EXPECT_EQ(result.out, "1 0\n");
}

TEST(Launch, PassesTheLocalRankFirst) {
  const auto result =
      run_command({kDeepspeed, "-q", "--num_gpus", "1", "--master_port", "0", "echo", "a", "b"});
  EXPECT_EQ(result.out, "--local_rank=0 a b\n");
}

TEST(Launch, PassesArgumentsUntouchedByAnyShell) {
  const auto result =
      run_command({kDeepspeed, "-q", "--num_gpus", "1", "--master_port", "0", "--no_local_rank", "printf",
                   "%s|", "$(id); `id` * \"'", "--num_gpus", "7", "", "a\nb"});
  EXPECT_EQ(result.exit_code, 0);
  EXPECT_EQ(result.out, "$(id); `id` * \"'|--num_gpus|7||a\nb|");
}

TEST(Launch, APythonScriptIsRunAndMayBindThePort) {
  if (::access("/usr/bin/python3", X_OK) != 0) GTEST_SKIP() << "no /usr/bin/python3 here";
  const fs::path script = fs::temp_directory_path() / ("ds_launch_" + std::to_string(::getpid()) + ".py");
  std::ofstream(script)
      << "import os, socket, sys\n"
         "s = socket.socket(); s.bind((os.environ['MASTER_ADDR'], int(os.environ['MASTER_PORT'])))\n"
         "print(sys.argv[1:], 'DS_RENDEZVOUS_FD' in os.environ)\n";
  const auto result = run_command({kDeepspeed, "--num_gpus", "1", "--master_port", "0", script.string(), "x"},
                                  {"PATH=/usr/bin:/bin"});
  EXPECT_EQ(result.out, "['--local_rank=0', 'x'] False\n") << result.err;
  fs::remove(script);
}

TEST(Launch, OnlyRankZeroReadsStandardInput) {
  const auto result = run_ranks(2, "readlink /proc/self/fd/0");
  EXPECT_EQ(result.exit_code, 0);  // both are /dev/null here, since the test's own input is
  EXPECT_THAT(sorted_lines(result.out), ElementsAre("/dev/null", "/dev/null"));
}

TEST(Launch, RanksInheritSignalsAndDescriptorsAsIfThereWereNoLauncher) {
  const std::string script = "grep -E 'SigBlk|SigIgn' /proc/self/status; ls /proc/self/fd; true";
  const auto direct = run_command({"bash", "-c", script});
  const auto launched = run_ranks(1, script);
  EXPECT_EQ(launched.out, direct.out);
  EXPECT_THAT(direct.out, HasSubstr("SigBlk"));
}

TEST(Launch, ThirtyTwoRanksComeAndGo) {
  const auto result = run_ranks(32, "echo $RANK");
  EXPECT_EQ(result.exit_code, 0);
  EXPECT_EQ(test_support::count_lines(result.out), 32u);
  EXPECT_THAT(result.left, IsEmpty());
}

TEST(Launch, PassesStandardErrorOnLineByLine) {
  const auto result =
      run_ranks(2, "for i in 1 2 3 4 5 6 7 8 9; do printf 'rank %s ' $RANK >&2; echo line $i >&2; done");
  EXPECT_EQ(result.exit_code, 0);
  EXPECT_EQ(test_support::count_lines(result.err), 18u);
  EXPECT_THAT(sorted_lines(result.err), ::testing::Each(::testing::MatchesRegex("rank [01] line [1-9]")));
}

TEST(Launch, PerRankLogsTakeAllOutput) {
  const fs::path dir = fs::temp_directory_path() / ("ds_logs_" + std::to_string(::getpid())) / "deep";
  const auto result = run_ranks(2, "echo out $RANK; echo err $RANK >&2; test $RANK = 0 || exit 4",
                                {"--enable_each_rank_log", dir.string()});
  EXPECT_EQ(result.exit_code, 4);
  EXPECT_EQ(result.out, "");
  EXPECT_THAT(result.err, HasSubstr("[rank 1] err 1"));
  EXPECT_THAT(result.err, ::testing::Not(HasSubstr("err 0")));
  int logs = 0;
  for (const auto& entry : fs::directory_iterator(dir)) {
    EXPECT_THAT(entry.path().filename().string(), ::testing::MatchesRegex("[0-9]+_rank[01].log"));
    ++logs;
  }
  EXPECT_EQ(logs, 2);
  fs::remove_all(dir.parent_path());
}

const char* const kShowCores = "echo $RANK $OMP_NUM_THREADS $(grep Cpus_allowed_list /proc/self/status)";

TEST(Launch, BoundRanksRunOnTheirOwnCoresAlone) {
  const auto cores = Topology().physical_cores();
  if (cores.size() < 2) GTEST_SKIP() << "this machine has one core";
  const int each = static_cast<int>(cores.size()) / 2;
  const auto result = run_ranks(2, kShowCores, {"--bind_cores_to_rank"});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  const auto line = [&](int rank) {
    return fmt::format("{} {} Cpus_allowed_list: {}", rank, each,
                       format_core_list(std::span(cores).subspan(static_cast<size_t>(rank * each),
                                                                 static_cast<size_t>(each))));
  };
  EXPECT_THAT(sorted_lines(result.out), ElementsAre(line(0), line(1)));
}

TEST(Launch, BoundRanksShareOutTheListThatWasGiven) {
  const auto cores = Topology().physical_cores();
  const auto list = std::to_string(cores.back());
  const auto result = run_ranks(1, kShowCores, {"--bind_cores_to_rank", "--bind_core_list", list});
  EXPECT_EQ(result.out, "0 1 Cpus_allowed_list: " + list + "\n") << result.err;
}

TEST(Launch, CoresThatCannotBeBoundAreOneLine) {
  const std::vector<std::pair<std::vector<std::string>, const char*>> cases = {
      {{"--bind_core_list", "60000"}, "core 60000 of '60000' is not one that this process may use"},
      {{"--num_accelerators", "4096"}, "4096 ranks cannot have a core each"},
  };
  for (const auto& [flags, expected] : cases) {
    std::vector<std::string> argv = {kDeepspeed, "--bind_cores_to_rank", "--master_port", "0"};
    argv.insert(argv.end(), flags.begin(), flags.end());
    argv.push_back("true");
    const auto result = run_command(argv);
    EXPECT_EQ(result.exit_code, 1);
    EXPECT_EQ(test_support::count_lines(result.err), 1u) << result.err;
    EXPECT_THAT(result.err, HasSubstr(expected));
  }
  const auto result = run_command({kDeepspeed, "--bind_cores_to_rank", "--master_port", "0", "true"},
                                  {"KMP_AFFINITY=compact"});
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_THAT(result.err, HasSubstr("unset KMP_AFFINITY"));
}

TEST(Launch, SavePidNamesTheProcessToStopWhileItRuns) {
  Command command({kDeepspeed, "--num_gpus", "1", "--master_port", "0", "--no_local_rank", "--save_pid",
                   "bash", "-c", "echo ready; sleep 60"});
  ASSERT_TRUE(command.wait_for_output("ready"));
  const fs::path file = "/tmp/" + std::to_string(command.pid()) + ".deepspeed";
  pid_t launcher = 0;
  std::ifstream(file) >> launcher;
  ASSERT_GT(launcher, 1);
  ASSERT_EQ(::kill(launcher, SIGTERM), 0);
  const auto result = command.wait();
  EXPECT_EQ(result.exit_code, 128 + SIGTERM);
  EXPECT_THAT(result.left, IsEmpty());
  EXPECT_FALSE(fs::exists(file));
}

TEST(Launch, MistakesAreOneLineAndNonZero) {
  const std::vector<std::vector<std::string>> cases = {
      {},
      {"--bogus", "true"},
      {"no_such_program"},
      {"/etc/passwd"},
      {"/tmp"},
      {"absent.py"},
      {"-H", "/etc/passwd", "true"},
      {"--include", "elsewhere:0", "true"},
      {"--num_nodes", "2", "true"},
      {"--force_multi", "true"},
      {"--force_multi", "--launcher", "mvapich", "true"},
      {"--force_multi", "--launcher", "openmpi", "--num_accelerators", "2", "true"},
      {"--launcher", "slurm", "--include", "localhost:1", "true"},
      {"--map_rank", "true"},
      {"--master_addr", "203.0.113.7", "true"},
      {"--enable_each_rank_log", "/dev/null/logs", "--master_port", "0", "true"},
  };
  for (std::vector<std::string> argv : cases) {
    argv.insert(argv.begin(), kDeepspeed);
    const auto result = run_command(argv);
    EXPECT_EQ(result.exit_code, argv.size() == 1 || argv[1] == "--bogus" ? 2 : 1) << argv.back();
    EXPECT_EQ(test_support::count_lines(result.err), 1u) << result.err;
    EXPECT_THAT(result.err, ::testing::StartsWith("deepspeed: "));
    EXPECT_EQ(result.out, "");
  }
}

TEST(Launch, AProgramTheKernelRefusesIsNamed) {
  const fs::path file = fs::temp_directory_path() / ("ds_not_a_program_" + std::to_string(::getpid()));
  std::ofstream(file) << "neither ELF nor a script\n";
  fs::permissions(file, fs::perms::owner_all);
  const auto result = run_command({kDeepspeed, "-q", "--num_gpus", "2", "--master_port", "0", file.string()});
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_EQ(test_support::count_lines(result.err), 1u) << result.err;
  EXPECT_THAT(result.err, HasSubstr(file.string()));
  fs::remove(file);
}

}  // namespace
}  // namespace deepspeed::launcher
