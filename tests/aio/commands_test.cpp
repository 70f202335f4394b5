// ds_io and ds_nvme_tune as people type them.
#include <gmock/gmock.h>

#include <fstream>

#include "tests/aio/scratch.h"
#include "tests/support/command.h"

namespace deepspeed::aio {
namespace {

using test_support::CommandResult;
using test_support::count_lines;
using ::testing::AllOf;
using ::testing::ContainsRegex;
using ::testing::HasSubstr;
using ::testing::Not;

class CommandsTest : public ScratchFolder {
 protected:
  CommandResult run(const char* tool, std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), std::string(DS_BIN_DIR "/") + tool);
    return test_support::run_command(arguments);
  }
  CommandResult ds_io(std::vector<std::string> arguments) { return run("ds_io", std::move(arguments)); }
  CommandResult tune(std::vector<std::string> arguments) { return run("ds_nvme_tune", std::move(arguments)); }
  std::string here() const { return folder.string(); }
};

constexpr const char* kNumber = "[0-9]+([.][0-9]+)?(e-[0-9]+)?";

TEST_F(CommandsTest, DsIoPrintsDeepSpeedsLines) {
  for (const char* what : {"Write", "Read"}) {
    std::vector<std::string> arguments{"--folder",        here(), "--io_size", "1M",
                                       "--multi_process", "2",    "--validate"};
    if (*what == 'R') arguments.push_back("--read");
    const auto result = ds_io(arguments);
    ASSERT_EQ(result.exit_code, 0) << result.err;
    EXPECT_THAT(result.out, HasSubstr("[1]: process 1 <----> " + here() + "\n"));
    EXPECT_THAT(result.out, HasSubstr("tid 0: running main task 3\n"));
    for (const char* line : {"Task", "E2E"})
      EXPECT_THAT(result.out,
                  AllOf(ContainsRegex(fmt::format("\n{} {} Latency = {} sec\n", line, what, kNumber)),
                        ContainsRegex(fmt::format("\n{} {} Speed = {} GB/sec\n", line, what, kNumber))));
  }
}

TEST_F(CommandsTest, DsIoTakesAFolderATask) {
  const auto result =
      ds_io({"--folder_to_device_mapping", here() + ":0", here() + ":7", "--io_size", "64K", "--loops", "1",
             "--warmup_loops", "0", "--block_size", "8K", "--queue_depth", "2", "--io_parallel", "2",
             "--single_submit", "--sequential_requests", "--use_accelerator_pin_memory"});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(result.out, HasSubstr("[1]: process 7 <----> " + here()));
  EXPECT_EQ(std::filesystem::file_size(folder / "_aio_write_65536.pt.1_0"), 65536u);
}

TEST_F(CommandsTest, DsIoRunsEveryBackendByName) {
  for (const char* backend : {"thread_pool", "libaio", "io_uring"}) {
    const auto result =
        ds_io({"--folder", here(), "--io_size", "1M", "--backend", backend, "--engine", "aio_basic"});
    if (result.exit_code != 0)
      EXPECT_THAT(result.err, HasSubstr("cannot be used here"));
    else
      EXPECT_THAT(result.out, HasSubstr(std::string("through ") + backend));
  }
}

// As against values that only the command itself can judge.
bool refused_by_the_parser(const std::string& expected) {
  return expected.ends_with("is required") || expected == "--queue_depth" || expected == "excludes";
}

TEST_F(CommandsTest, BadFlagsAreOneLineEach) {
  const std::vector<std::pair<std::vector<std::string>, std::string>> cases{
      {{"--io_size", "1M"}, "give --folder or --folder_to_device_mapping"},
      {{"--folder", here()}, "--io_size is required"},
      {{"--folder", here(), "--io_size", "none"}, "--io_size must be a number of bytes"},
      {{"--folder", here(), "--io_size", "1M", "--block_size", "-4"},
       "--block_size must be a number of bytes"},
      {{"--folder", here(), "--io_size", "1M", "--block_size", "2G"}, "block_size is 2147483648"},
      {{"--folder", here(), "--io_size", "1M", "--queue_depth", "0"}, "--queue_depth"},
      {{"--folder", here(), "--io_size", "900000G"}, "more than this machine's memory"},
      {{"--folder", here() + "/none", "--io_size", "1M"}, "none is no folder"},
      {{"--folder", here(), "--folder_to_device_mapping", here() + ":0", "--io_size", "1M"}, "excludes"},
      {{"--folder_to_device_mapping", here(), "--io_size", "1M"}, "takes FOLDER:ID"},
      {{"--folder_to_device_mapping", here() + ":1", here() + ":1", "--io_size", "1M"},
       "names device 1 twice"},
      {{"--folder", here(), "--io_size", "1M", "--engine", "torch_io"}, "pickles"},
      {{"--folder", here(), "--io_size", "1M", "--engine", "dd"}, "--engine must be"},
      {{"--folder", here(), "--io_size", "1M", "--backend", "dd"}, "no way to transfer files"},
      {{"--folder", here(), "--io_size", "1M", "--gpu"},
       "--gpu: transfers to GPU memory are not available yet"},
      {{"--folder", here(), "--io_size", "1M", "--use_gds"}, "GPUDirect Storage"},
      {{"--folder", here(), "--io_size", "1M", "--fast_io_size", "64M"}, "torch_fastio"},
  };
  for (const auto& [arguments, expected] : cases) {
    const auto result = ds_io(arguments);
    EXPECT_EQ(result.exit_code, refused_by_the_parser(expected) ? 2 : 1) << expected;
    EXPECT_EQ(count_lines(result.err), 1u) << result.err;
    EXPECT_THAT(result.err, AllOf(HasSubstr("ds_io: "), HasSubstr(expected)));
  }
  EXPECT_TRUE(std::filesystem::is_empty(folder));
}

TEST_F(CommandsTest, AFileThatCannotBeMadeIsOneLine) {
  const auto result = ds_io({"--folder", "/proc", "--io_size", "64K"});
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_EQ(count_lines(result.err), 1u) << result.err;
  EXPECT_THAT(result.err, HasSubstr("/proc/_aio_write_65536.pt.0_0"));
}

// On a tmpfs of 1 MiB in a mount namespace of the command's own.
TEST_F(CommandsTest, AFullDiskIsOneLine) {
  const auto on_small_disk = [&](const std::string& command) {
    return test_support::run_command(
        {"unshare", "--mount", "sh", "-c",
         "mount -t tmpfs -o size=1m none " + here() + " || exit 77; exec " DS_BIN_DIR "/" + command});
  };
  for (const std::string& command :
       {"ds_io --io_size 4M --folder " + here(), "ds_io --io_size 4M --read --folder " + here(),
        "ds_nvme_tune --io_size 4M --log_dir " + here() + "/logs --nvme_dir " + here()}) {
    const auto result = on_small_disk(command);
    if (result.exit_code == 77 || result.err.find("unshare") != std::string::npos)
      GTEST_SKIP() << "no tmpfs can be mounted here";
    EXPECT_EQ(result.exit_code, 1) << command;
    EXPECT_EQ(count_lines(result.err), 1u) << result.err;
    EXPECT_THAT(result.err, AllOf(HasSubstr(here() + "/_aio_"), HasSubstr("No space left on device")));
  }
}

TEST_F(CommandsTest, TuneWritesLogsAndPrintsTheBlock) {
  std::ofstream(folder / "sweep.json")
      << R"({"block_size": ["64K"], "queue_depth": [2, 8], "io_parallel": [1, 2]})";
  const auto result = tune({"--nvme_dir", here(), "--sweep_config", here() + "/sweep.json", "--io_size", "1M",
                            "--log_dir", here() + "/logs", "--verbose"});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(
      result.out,
      ContainsRegex("^Running DeepNVMe performance tuning on .*\nBest performance [(]GB/sec[)]: read = "
                    "+[0-9.]+, write = +[0-9.]+\n[{]\n   \"aio\": [{]\n"));
  EXPECT_EQ(count_lines(result.err), 4u) << result.err;
  EXPECT_TRUE(
      std::filesystem::exists(folder / "logs/_aio_bench_read_logs/read_block_overlap_ftd1_d8_bs64K_p2.txt"));
  EXPECT_TRUE(std::filesystem::exists(folder /
                                      "logs/_aio_bench_write_logs/write_block_overlap_ftd1_d2_bs64K_p1.txt"));
}

TEST_F(CommandsTest, TuneNamesMistakesInOneLine) {
  std::ofstream(folder / "sweep.json") << R"({"blocksize": ["64K"]})";
  const std::vector<std::pair<std::vector<std::string>, std::string>> cases{
      {{}, "--nvme_dir is required"},
      {{"--nvme_dir", here() + "/none"}, "none is no folder"},
      {{"--nvme_dir", here(), "--sweep_config", here() + "/sweep.json"}, "blocksize cannot be varied"},
      {{"--nvme_dir", here(), "--sweep_config", here() + "/none.json"}, "none.json"},
      {{"--nvme_dir", here(), "--no_read", "--no_write"}, "nothing to measure"},
      {{"--nvme_dir", here(), "--gds"}, "GPUDirect Storage"},
      {{"--nvme_dir", here(), "--io_size", "1M", "--log_dir", "/proc/logs"}, "/proc/logs"},
  };
  for (const auto& [arguments, expected] : cases) {
    const auto result = tune(arguments);
    EXPECT_EQ(result.exit_code, refused_by_the_parser(expected) ? 2 : 1) << expected;
    EXPECT_EQ(count_lines(result.err), 1u) << result.err;
    EXPECT_THAT(result.err, AllOf(HasSubstr("ds_nvme_tune: "), HasSubstr(expected)));
  }
}

}  // namespace
}  // namespace deepspeed::aio
