#include "deepspeed/launcher/runner.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <numeric>

#include "deepspeed/base/error.h"
#include "deepspeed/base/file.h"
#include "deepspeed/launcher/core_list.h"
#include "deepspeed/launcher/shell_words.h"
#include "tests/launcher/errors.h"

namespace deepspeed::launcher {
namespace {

using nlohmann::json;
using nlohmann::ordered_json;
using test_support::error_of;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Pair;
using Words = std::vector<std::string>;

LaunchOptions options_of(const ordered_json& asked) {
  LaunchOptions o;
  o.launcher = asked["launcher"];
  o.hostfile = asked["hostfile"];
  o.master_port = asked["master_port"];
  o.launcher_args = split_words(asked["launcher_args"].get<std::string>());
  o.include = asked["include"];
  o.exclude = asked["exclude"];
  o.num_nodes = asked["num_nodes"];
  o.num_accelerators = asked["num_gpus"];
  o.slurm_comment = asked["slurm_comment"];
  o.bind_cores = asked["bind_cores_to_rank"];
  return o;
}

RunnerFacts facts_of(const ordered_json& asked) {
  RunnerFacts facts;
  for (const auto& [name, slots] : asked["hosts"].items()) facts.hosts.push_back({name, slots});
  facts.master_addr = asked["master_addr"];
  for (const auto& entry : asked["exports"]) facts.exports.emplace_back(entry[0], entry[1]);
  facts.accelerators = true;
  const bool module = asked["module"], no_python = asked["no_python"], mpich = asked["launcher"] == "mpich";
  if (mpich) {
    facts.mapper = {"MAPPER"};
    if (module) facts.mapper.push_back("--module");
    if (no_python) facts.mapper.push_back("--no_python");
  } else if (!no_python) {
    facts.command = module ? Words{"PYTHON", "-u", "-m"} : Words{"PYTHON", "-u"};
  }
  facts.command.push_back(asked["user_script"]);
  for (const auto& argument : asked["user_args"]) facts.command.push_back(argument);
  if (asked["bind_cores_to_rank"]) {
    std::vector<int> cores(8);
    std::iota(cores.begin(), cores.end(), 0);
    if (!asked["bind_core_list"].is_null())
      cores = parse_core_list(asked["bind_core_list"].get<std::string>());
    facts.bindings = bind_cores(cores, static_cast<int>(facts.hosts[0].slots.size()),
                                {{0, {0, 1, 2, 3}}, {1, {4, 5, 6, 7}}});
  }
  return facts;
}

const ordered_json& golden() {
  static const auto file =
      ordered_json::parse(base::read_text_file(DS_SOURCE_DIR "/tests/launcher/runner_golden.json"));
  return file;
}

TEST(Runner, CommandLinesAreDeepSpeedsWordForWord) {
  std::map<std::string, int> answered, refused;
  for (const auto& asked : golden()["commands"]) {
    const LaunchOptions options = options_of(asked);
    const RunnerFacts facts = facts_of(asked);
    const auto command = [&] {
      check_runner_limits(options, facts.hosts);
      return runner_command(options, facts);
    };
    if (asked.contains("error")) {
      EXPECT_NE(error_of(command), "") << asked;
      ++refused[options.launcher];
    } else {
      EXPECT_EQ(command(), asked["words"].get<Words>()) << asked;
      ++answered[options.launcher];
    }
  }
  EXPECT_THAT(answered,
              ElementsAre(Pair("impi", 10), Pair("mpich", 7), Pair("openmpi", 12), Pair("slurm", 11)));
  EXPECT_THAT(refused, ElementsAre(Pair("impi", 5), Pair("mpich", 5), Pair("openmpi", 4), Pair("slurm", 2)));
}

TEST(Runner, SlotsThatAreNoDevicesAreNotAskedOfSlurm) {
  LaunchOptions options;
  options.launcher = "slurm";
  options.num_accelerators = 2;
  RunnerFacts facts;
  facts.hosts = {{"localhost", {0, 1}}};
  facts.command = {"p"};
  facts.exports = {{"NCCL_A", "x,y"}, {"NCCL_B", "z"}};
  EXPECT_THAT(runner_command(options, facts), ElementsAre("srun", "-n", "2", "--export=ALL,NCCL_B=z", "p"));
}

TEST(Runner, WhatARunnerCannotDoIsAnErrorThatNamesTheFlag) {
  const auto error_with = [](const char* launcher, const std::function<void(LaunchOptions&)>& change) {
    LaunchOptions options;
    options.launcher = launcher;
    change(options);
    return error_of([&] { check_runner_limits(options, {{"localhost", {0, 1}}}); });
  };
  for (const char* launcher : {"openmpi", "mpich", "impi"}) {
    EXPECT_THAT(error_with(launcher, [](auto& o) { o.include = "a"; }), HasSubstr("--include"));
    EXPECT_THAT(error_with(launcher, [](auto& o) { o.num_accelerators = 2; }),
                HasSubstr("--num_accelerators"));
    EXPECT_THAT(error_with(launcher, [](auto& o) { o.rank_log_dir = "d"; }),
                HasSubstr("--enable_each_rank_log"));
    EXPECT_THAT(error_with(launcher, [](auto& o) { o.master_port = 0; }), HasSubstr("--master_port 0"));
    EXPECT_EQ(error_with(launcher, [](auto&) {}), "");
  }
  EXPECT_THAT(error_with("openmpi", [](auto& o) { o.bind_cores = true; }), HasSubstr("--bind_cores_to_rank"));
  EXPECT_EQ(error_with("impi", [](auto& o) { o.bind_cores = true; }), "");
  EXPECT_THAT(error_with("pdsh", [](auto&) {}), HasSubstr("not available yet: --launcher pdsh"));
  EXPECT_THAT(error_with("mvapich", [](auto&) {}), HasSubstr("--launcher mvapich"));
}

TEST(ShellWords, AreSplitAsShlexSplitsThem) {
  for (const auto& asked : golden()["splits"]) {
    const auto text = asked["text"].get<std::string>();
    if (asked.contains("error"))
      EXPECT_NE(error_of([&] { split_words(text); }), "") << text;
    else
      EXPECT_EQ(split_words(text), asked["words"].get<Words>()) << text;
  }
}

TEST(Exports, TakeTheFamiliesThatDeepSpeedTakes) {
  const Words environment = {
      "HOME=/h", "PYTHONPATH=/a:/b", "NCCL_IB_HCA=mlx5", "UCX_NET_DEVICES=all", "MLFLOW_RUN=1=2", "MV2_X=",
      "XUCX=1"};
  EXPECT_THAT(exported_variables(environment),
              ElementsAre(Pair("PYTHONPATH", "/a:/b"), Pair("NCCL_IB_HCA", "mlx5"),
                          Pair("UCX_NET_DEVICES", "all"), Pair("MLFLOW_RUN", "1=2"), Pair("MV2_X", "")));
  Words aisc = environment;
  aisc.push_back("AISC_JOB_NAME=j");
  EXPECT_THAT(exported_variables(aisc),
              ElementsAre(Pair("PYTHONPATH", "/a:/b"), Pair("MLFLOW_RUN", "1=2"), Pair("MV2_X", "")));
}

TEST(Exports, FilesAddLinesAndLaterOnesWin) {
  Exports exports = {{"A", "0"}};
  add_exports("A=1\n\n# note\n B = x=y \r\nA=2", "f", exports);
  EXPECT_THAT(exports, ElementsAre(Pair("A", "2"), Pair("B", "x=y")));
  EXPECT_THAT(error_of([&] { add_exports("A=1\nnonsense\n", "file", exports); }),
              HasSubstr("file:2: 'nonsense' is not NAME=value"));
  EXPECT_THAT(error_of([&] { add_exports("=1\n", "file", exports); }), HasSubstr("file:1"));
}

}  // namespace
}  // namespace deepspeed::launcher
