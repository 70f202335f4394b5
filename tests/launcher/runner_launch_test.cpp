// Launches through mpirun: a script in its place, and the real ones where they are installed.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "deepspeed/launcher/exports.h"
#include "tests/launcher/mpi_here.h"
#include "tests/support/command.h"

namespace deepspeed::launcher {
namespace {

namespace fs = std::filesystem;
using test_support::Command;
using test_support::kOpenMpiAsRoot;
using test_support::mpirun_of;
using test_support::run_command;
using test_support::sorted_lines;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

const std::string kDeepspeed = DS_BIN_DIR "/deepspeed";
const std::string kHelper = DS_BIN_DIR "/launcher_rank_helper";

class Runner : public testing::Test {
 protected:
  void SetUp() override {
    for (const auto& [name, value] : exported_variables(base::environment())) ::unsetenv(name.c_str());
    folder = fs::temp_directory_path() / fmt::format("ds_runner_{}", ::getpid());
    fs::create_directories(folder / "bin");
    std::ofstream(folder / "hosts") << "localhost slots=2\n";
  }
  void TearDown() override { fs::remove_all(folder); }

  void put_script(const std::string& name, const std::string& text) {
    std::ofstream(folder / "bin" / name) << "#!/bin/bash\n" << text;
    fs::permissions(folder / "bin" / name, fs::perms::owner_all);
  }
  std::string path_variable() const { return "PATH=" + (folder / "bin").string() + ":/usr/bin:/bin"; }
  std::vector<std::string> deepspeed(const std::string& launcher, std::vector<std::string> more) const {
    std::vector<std::string> argv = {kDeepspeed,   "-q",     "-H",           (folder / "hosts").string(),
                                     "--launcher", launcher, "--force_multi"};
    argv.insert(argv.end(), more.begin(), more.end());
    return argv;
  }
  fs::path folder;
};

TEST_F(Runner, IsFoundByItsFamily) {
  const std::string bin = (folder / "bin").string();
  const auto error_of = [&](const char* launcher) -> std::string {
    try {
      return "found " + find_runner(launcher, bin);
    } catch (const base::Error& error) {
      return error.what();
    }
  };
  for (const char* launcher : {"openmpi", "mpich", "impi"})
    EXPECT_THAT(error_of(launcher), HasSubstr("there is none"));
  EXPECT_THAT(error_of("slurm"), HasSubstr("srun and sinfo"));
  put_script("orterun", "");
  fs::create_symlink("orterun", folder / "bin/mpirun");
  EXPECT_EQ(error_of("openmpi"), "found " + bin + "/mpirun");
  EXPECT_THAT(error_of("mpich"), HasSubstr("the one there is another MPI's; install mpich"));
  put_script("mpiexec.hydra", "");
  fs::create_symlink("mpiexec.hydra", folder / "bin/mpirun.mpich");
  EXPECT_EQ(error_of("mpich"), "found " + bin + "/mpirun.mpich");
  put_script("srun", "");
  put_script("sinfo", "");
  EXPECT_EQ(error_of("slurm"), "found " + bin + "/srun");
}

TEST_F(Runner, GetsItsWordsItsEnvironmentAndItsExitCode) {
  put_script("ompi_info", "");
  put_script(
      "mpirun",
      "printf '%s\\n' \"$@\"; echo $MASTER_ADDR:$MASTER_PORT ${RANK-none} ${DS_LAUNCH_T0:+timed}; exit 7");
  const auto result = run_command(
      deepspeed("openmpi", {"--master_port", "29511", "--launcher_args", "--tag 'a b;$(id)'", "echo", "x y"}),
      {path_variable(), "RANK=5", "HOME=" + folder.string(), "PYTHONPATH=/p", "UCX_TLS=rc"});
  EXPECT_EQ(result.exit_code, 7);
  const std::string expected = fmt::format(
      "-n\n2\n-hostfile\n{0}/hosts\n--mca\nbtl\n^openib\n--mca\nbtl_tcp_if_include\neth0\n--tag\na "
      "b;$(id)\n-x\n"
      "UCX_TLS=rc\n-x\nPYTHONPATH={1}:/p\n-x\nMASTER_ADDR=127.0.0.1\n-x\nMASTER_PORT=29511\n/usr/bin/echo\nx "
      "y\n"
      "127.0.0.1:29511 none timed\n",
      folder.string(), fs::current_path().string());
  EXPECT_EQ(result.out, expected);
  EXPECT_THAT(result.err, HasSubstr("mpirun (pid "));
}

TEST_F(Runner, OneHostWithoutForceMultiIsStartedHere) {
  put_script("mpirun", "exit 7");
  const auto result = run_command({kDeepspeed, "-q", "-H", (folder / "hosts").string(), "--launcher", "mpich",
                                   "--master_port", "0", "--no_local_rank", "bash", "-c", "echo $RANK"},
                                  {path_variable()});
  EXPECT_EQ(result.exit_code, 0);
  EXPECT_THAT(sorted_lines(result.out), ElementsAre("0", "1"));
}

TEST_F(Runner, OpenMpiStartsTheRanks) {
  if (mpirun_of("openmpi").empty()) GTEST_SKIP() << "openmpi-bin is not installed";
  const auto direct =
      run_command({mpirun_of("openmpi"), "--oversubscribe", "-n", "2", kHelper, "discover"}, kOpenMpiAsRoot);
  const auto launched = run_command(
      deepspeed("openmpi", {"--launcher_args", "--oversubscribe --bind-to none", kHelper, "discover"}),
      kOpenMpiAsRoot);
  for (const auto* result : {&direct, &launched}) {
    EXPECT_EQ(result->exit_code, 0) << result->err;
    EXPECT_THAT(sorted_lines(result->out), ElementsAre("Open MPI: rank 0 of 2, local rank 0 of 2",
                                                       "Open MPI: rank 1 of 2, local rank 1 of 2"));
    EXPECT_THAT(result->left, IsEmpty());
  }
}

TEST_F(Runner, MpichStartsTheRanksWithTheirVariables) {
  const std::string mpirun = mpirun_of("mpich");
  if (mpirun.empty()) GTEST_SKIP() << "mpich is not installed";
  const auto direct = run_command({mpirun, "-n", "2", kHelper, "discover"});
  EXPECT_THAT(sorted_lines(direct.out),
              ElementsAre("MPICH, Intel MPI or PALS: rank 0 of 2, local rank 0 of 2",
                          "MPICH, Intel MPI or PALS: rank 1 of 2, local rank 1 of 2"))
      << direct.err;
  const std::string script = "echo $RANK $LOCAL_RANK $WORLD_SIZE $LOCAL_SIZE $MASTER_ADDR:$MASTER_PORT $1";
  for (const char* launcher : {"mpich", "impi"}) {  // Intel MPI's mpirun takes these words as MPICH's does
    const auto result =
        run_command(deepspeed(launcher, {"--master_port", "29511", "bash", "-c", script, "bash", "a b"}));
    EXPECT_EQ(result.exit_code, 0) << result.err;
    EXPECT_THAT(sorted_lines(result.out),
                ElementsAre("0 0 2 2 127.0.0.1:29511 a b", "1 1 2 2 127.0.0.1:29511 a b"))
        << launcher;
  }
}

TEST_F(Runner, AFailingRankOfOpenMpiEndsTheRunWithItsCode) {
  if (mpirun_of("openmpi").empty()) GTEST_SKIP() << "openmpi-bin is not installed";
  const auto result =
      run_command(deepspeed("openmpi", {"--launcher_args", "--oversubscribe --bind-to none", "bash", "-c",
                                        "test $OMPI_COMM_WORLD_RANK = 0 && exit 3; sleep 60"}),
                  kOpenMpiAsRoot);
  EXPECT_EQ(result.exit_code, 3) << result.err;
  EXPECT_LT(result.seconds, 20);
  EXPECT_THAT(result.left, IsEmpty());
}

TEST_F(Runner, MpichWaitsForEveryRankAndGivesTheFailedOnesCode) {
  if (mpirun_of("mpich").empty()) GTEST_SKIP() << "mpich is not installed";
  const auto result = run_command(deepspeed("mpich", {"bash", "-c", "test $RANK = 0 && exit 3; sleep 0.5"}));
  EXPECT_EQ(result.exit_code, 3) << result.err;
  EXPECT_THAT(result.left, IsEmpty());
}

TEST_F(Runner, StoppingTheLauncherStopsTheRanks) {
  for (const char* launcher : {"openmpi", "mpich"}) {
    if (mpirun_of(launcher).empty()) GTEST_SKIP() << launcher << " is not installed";
    const std::string words = std::string(launcher) == "openmpi" ? "--oversubscribe --bind-to none" : "";
    Command command(deepspeed(launcher, {"--launcher_args", words, "bash", "-c", "echo ready; sleep 60"}),
                    kOpenMpiAsRoot);
    ASSERT_TRUE(command.wait_for_output("ready")) << command.err();
    ASSERT_EQ(::kill(command.pid(), SIGTERM), 0);
    const auto result = command.wait();
    EXPECT_NE(result.exit_code, 0) << launcher;
    EXPECT_LT(result.seconds, 25) << launcher;
    EXPECT_THAT(result.left, IsEmpty()) << launcher;
  }
}

}  // namespace
}  // namespace deepspeed::launcher
