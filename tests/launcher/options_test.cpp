#include "deepspeed/launcher/options.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sstream>

#include "deepspeed/base/error.h"

namespace deepspeed::launcher {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::optional<LaunchOptions> parse(std::vector<const char*> words, std::string* answer = nullptr) {
  words.insert(words.begin(), "deepspeed");
  std::ostringstream out;
  auto options = parse_options(static_cast<int>(words.size()), words.data(), out);
  if (answer != nullptr) *answer = out.str();
  return options;
}

std::string error_of(const std::vector<const char*>& words) {
  try {
    parse(words);
  } catch (const base::Error& error) {
    return error.what();
  }
  return "";
}

TEST(LaunchOptions, DefaultsAreDeepSpeeds) {
  const LaunchOptions o = *parse({"train.py"});
  EXPECT_EQ(o.hostfile, "/job/hostfile");
  EXPECT_FALSE(o.hostfile_given);
  EXPECT_EQ(o.num_nodes, -1);
  EXPECT_EQ(o.num_accelerators, -1);
  EXPECT_EQ(o.master_port, 29500);
  EXPECT_EQ(o.master_addr, "");
  EXPECT_EQ(o.log_level, base::LogLevel::kInfo);
  EXPECT_EQ(o.program, "train.py");
}

TEST(LaunchOptions, EverythingAfterTheProgramIsTheProgramsOwn) {
  const LaunchOptions o =
      *parse({"--num_gpus", "2", "ds_train", "--num_gpus", "8", "-i", "x", "--help", "--", "-q"});
  EXPECT_EQ(o.num_accelerators, 2);
  EXPECT_EQ(o.program, "ds_train");
  EXPECT_THAT(o.arguments, ElementsAre("--num_gpus", "8", "-i", "x", "--help", "--", "-q"));
  EXPECT_EQ(o.include, "");
}

TEST(LaunchOptions, UnderstandsEverySpelling) {
  EXPECT_EQ(parse({"--num_accelerators=3", "p"})->num_accelerators, 3);
  EXPECT_EQ(parse({"--num_gpus", "1", "--num_gpus", "4", "p"})->num_accelerators, 4);
  EXPECT_EQ(parse({"-Hhosts", "p"})->hostfile, "hosts");
  EXPECT_EQ(parse({"--include", "localhost:0,1", "p"})->include, "localhost:0,1");
  EXPECT_EQ(parse({"-e", "a@b", "p"})->exclude, "a@b");
  EXPECT_EQ(parse({"-q", "p"})->log_level, base::LogLevel::kError);
  EXPECT_EQ(parse({"--log_level", "debug", "p"})->log_level, base::LogLevel::kDebug);
  EXPECT_EQ(parse({"--enable_each_rank_log", "None", "p"})->rank_log_dir, "");
  EXPECT_EQ(parse({"--enable_each_rank_log", "logs", "p"})->rank_log_dir, "logs");
  EXPECT_EQ(parse({"--", "p", "--", "x"})->program, "p");
  const LaunchOptions flags = *parse({"--module", "--no_local_rank", "--save_pid", "pkg.train"});
  EXPECT_TRUE(flags.module && flags.no_local_rank && flags.save_pid);
}

TEST(LaunchOptions, TheRunnersWordsAreSplitAsAShellWould) {
  const LaunchOptions o = *parse({"--launcher", "OpenMPI", "--launcher_args", "--mca x 'y z'",
                                  "--force_multi", "--slurm_comment", "c d", "p"});
  EXPECT_EQ(o.launcher, "openmpi");
  EXPECT_TRUE(o.force_multi);
  EXPECT_THAT(o.launcher_args, ElementsAre("--mca", "x", "y z"));
  EXPECT_EQ(o.slurm_comment, "c d");
  EXPECT_EQ(parse({"p"})->launcher, "pdsh");
  EXPECT_THAT(parse({"p"})->launcher_args, ElementsAre());
}

TEST(LaunchOptions, FlagsThatOnlyMatterOnSeveralMachinesAreAccepted) {
  EXPECT_TRUE(parse({"--launcher", "OpenMPI", "--launcher_args", "--mca x y", "--no_ssh_check", "--ssh_port",
                     "22", "--venv_script", "v", "--node_rank", "0", "--slurm_comment", "c", "p"}));
}

TEST(LaunchOptions, WhatIsNotBuiltSaysSo) {
  const std::vector<std::vector<const char*>> unbuilt = {
      {"--no_ssh", "--node_rank", "0", "p"}, {"--elastic_training", "p"}, {"--min_elastic_nodes", "1", "p"},
      {"--max_elastic_nodes", "2", "p"},     {"--num_nodes", "1:4", "p"}, {"--autotuning", "tune", "p"},
      {"--detect_nvlink_pairs", "p"}};
  for (const auto& words : unbuilt) {
    const std::string message = error_of(words);
    EXPECT_THAT(message, testing::StartsWith("not available yet: ")) << words[0];
    EXPECT_EQ(message.find('\n'), std::string::npos) << words[0];
  }
}

TEST(LaunchOptions, CoresToShareOutAreAList) {
  EXPECT_FALSE(parse({"p"})->bind_cores);
  const LaunchOptions all = *parse({"--bind_cores_to_rank", "p"});
  EXPECT_TRUE(all.bind_cores);
  EXPECT_THAT(all.bind_core_list, ElementsAre());
  EXPECT_THAT(parse({"--bind_cores_to_rank", "--bind_core_list", "1,3-5,7", "p"})->bind_core_list,
              ElementsAre(1, 3, 4, 5, 7));
}

TEST(LaunchOptions, MistakesAreOneLineThatNamesTheFlag) {
  const std::vector<std::pair<std::vector<const char*>, const char*>> cases = {
      {{}, "no program given"},
      {{"--num_gpus", "2"}, "no program given"},
      {{"--bogus", "p"}, "'--bogus' is not an option"},
      {{"-x", "p"}, "'-x' is not an option"},
      {{"--num_gpus", "two", "p"}, "--num_gpus"},
      {{"--num_gpus", "0", "p"}, "--num_accelerators 0"},
      {{"--num_gpus", "-3", "p"}, "--num_accelerators -3"},
      {{"--num_nodes", "x", "p"}, "--num_nodes 'x'"},
      {{"--num_nodes", "0", "p"}, "--num_nodes 0"},
      {{"--master_port", "65536", "p"}, "--master_port 65536"},
      {{"--master_port", "-1", "p"}, "--master_port -1"},
      {{"--launcher", "ssh", "p"}, "--launcher 'ssh'"},
      {{"--autotuning", "fast", "p"}, "--autotuning 'fast'"},
      {{"--module", "--no_python", "p"}, "--module and --no_python"},
      {{"-i", "a", "-e", "b", "p"}, "--include and --exclude"},
      {{"--log_level", "loud", "p"}, "log level 'loud'"},
      {{"--hostfile"}, "--hostfile"},
      {{"--launcher_args", "'x", "p"}, "--launcher_args: ''x' has a quote"},
      {{"--bind_core_list", "0-3", "p"}, "without --bind_cores_to_rank"},
      {{"--bind_cores_to_rank", "--bind_core_list", "3,1", "p"}, "--bind_core_list: core list '3,1'"},
      {{"--bind_cores_to_rank", "--bind_core_list", "", "p"}, "--bind_core_list: core list ''"},
  };
  for (const auto& [words, expected] : cases) {
    const std::string message = error_of(words);
    EXPECT_THAT(message, HasSubstr(expected));
    EXPECT_EQ(message.find('\n'), std::string::npos) << message;
  }
}

TEST(LaunchOptions, HelpShowsExamplesAndVersionAnswers) {
  std::string answer;
  EXPECT_FALSE(parse({"--help"}, &answer));
  EXPECT_THAT(answer, HasSubstr("Examples:"));
  EXPECT_THAT(answer, HasSubstr("--enable_each_rank_log"));
  EXPECT_FALSE(parse({"--version"}, &answer));
  EXPECT_THAT(answer, testing::StartsWith("deepspeed "));
}

}  // namespace
}  // namespace deepspeed::launcher
