#include "deepspeed/launcher/core_binding.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>

#include <nlohmann/json.hpp>
#include <numeric>

#include "deepspeed/base/error.h"
#include "deepspeed/base/file.h"
#include "deepspeed/launcher/core_list.h"
#include "deepspeed/launcher/topology.h"
#include "tests/launcher/errors.h"

namespace deepspeed::launcher {
namespace {

using nlohmann::json;
using test_support::error_of;
using testing::ElementsAre;
using testing::HasSubstr;

std::vector<NumaNode> nodes_of(const json& lists) {
  std::vector<NumaNode> nodes;
  for (const json& cores : lists)
    nodes.push_back({static_cast<int>(nodes.size()), cores.get<std::vector<int>>()});
  return nodes;
}

std::vector<CoreBinding> bindings_of(const json& asked) {
  std::vector<int> cores(asked["physical"].get<size_t>());
  std::iota(cores.begin(), cores.end(), 0);
  if (!asked["list"].is_null()) cores = parse_core_list(asked["list"].get<std::string>());
  return bind_cores(cores, asked["ranks"], nodes_of(asked["nodes"]));
}

TEST(CoreBinding, AnswersAsDeepSpeedForEveryListRankCountAndMachine) {
  const json cases =
      json::parse(base::read_text_file(DS_SOURCE_DIR "/tests/launcher/core_binding_golden.json"));
  ASSERT_GT(cases.size(), 500u);
  int answered = 0, refused = 0;
  for (const json& asked : cases) {
    if (asked.contains("error")) {
      EXPECT_NE(error_of([&] { bindings_of(asked); }), "") << asked;
      ++refused;
      continue;
    }
    const auto bindings = bindings_of(asked);
    ASSERT_EQ(bindings.size(), asked["numactl"].size()) << asked;
    for (size_t rank = 0; rank < bindings.size(); ++rank) {
      EXPECT_EQ(bindings[rank].cores.size(), asked["cores_per_rank"].get<size_t>()) << asked;
      EXPECT_EQ(json(numactl_command(bindings[rank])), asked["numactl"][rank]) << asked;
    }
    ++answered;
  }
  EXPECT_GT(answered, 300);
  EXPECT_GT(refused, 50);
}

TEST(CoreList, MistakesQuoteTheBadPart) {
  const std::pair<const char*, const char*> cases[] = {
      {"", "'' is neither"},        {"1,,2", "'' is neither"},     {"1, 2", "' 2' is neither"},
      {"a", "'a' is neither"},      {"-1", "'-1' is neither"},     {"1--2", "'1--2' is neither"},
      {"3-1", "'3-1' ends before"}, {"5,4", "'4' follows core 5"}, {"1-3,3", "'3' follows core 3"},
      {"0-99999999999", "neither"}, {"65536", "not below 65536"},  {"+1", "'+1' is neither"}};
  for (const auto& [text, expected] : cases)
    EXPECT_THAT(error_of([&given = text] { parse_core_list(given); }), HasSubstr(expected)) << text;
}

TEST(CoreList, IsWrittenAsShortAsItCanBe) {
  EXPECT_THAT(parse_core_list("1,3-5,7"), ElementsAre(1, 3, 4, 5, 7));
  EXPECT_EQ(format_core_list(std::vector{1, 3, 4, 5, 7}), "1,3-5,7");
  EXPECT_EQ(format_core_list(std::vector{0, 1}), "0-1");
  EXPECT_EQ(format_core_list(std::vector<int>{}), "");
}

TEST(Topology, NamesCoresThatThisProcessMayUse) {
  const Topology topology;
  cpu_set_t allowed;
  ASSERT_EQ(::sched_getaffinity(0, sizeof(allowed), &allowed), 0);
  const auto cores = topology.physical_cores();
  ASSERT_FALSE(cores.empty());
  EXPECT_LE(cores.size(), static_cast<size_t>(CPU_COUNT(&allowed)));
  for (int core : cores) EXPECT_TRUE(CPU_ISSET(core, &allowed)) << core;
  EXPECT_TRUE(std::ranges::is_sorted(cores));
  topology.check_usable(cores);
  EXPECT_THAT(error_of([&] {
                topology.check_usable({cores[0], kMaxCores - 1});
              }),
              HasSubstr("core 65535 of '" + std::to_string(cores[0]) + ",65535' is not one"));
}

TEST(Topology, EveryUsableCoreLiesInANode) {
  const Topology topology;
  const auto nodes = topology.numa_nodes();
  for (int core : topology.physical_cores())
    EXPECT_TRUE(std::ranges::any_of(nodes, [&](const NumaNode& node) {
      return std::ranges::find(node.cores, core) != node.cores.end();
    })) << core;
}

}  // namespace
}  // namespace deepspeed::launcher
