#include "deepspeed/launcher/rank_plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace deepspeed::launcher {
namespace {

using testing::Contains;
using testing::Each;
using testing::ElementsAre;
using testing::Not;
using testing::StartsWith;

const LaunchFacts kFacts{"127.0.0.1",      29500, "17.5",
                         "20260101000000", {},    {"HOME=/h", "RANK=9", "DS_RENDEZVOUS_FD=7"}};
const Program kNative{"/bin/prog", {"prog"}, false};

TEST(RankPlan, TellsEveryRankWhoItIs) {
  const auto plans = plan_ranks({}, {"localhost", {1, 3}}, kNative, kFacts);
  ASSERT_EQ(plans.size(), 2u);
  for (int rank : {0, 1}) {
    const auto& environment = plans[static_cast<size_t>(rank)].environment;
    const std::string number = std::to_string(rank);
    for (const std::string& entry :
         {"RANK=" + number, "LOCAL_RANK=" + number, std::string("WORLD_SIZE=2"), std::string("LOCAL_SIZE=2"),
          std::string("CROSS_RANK=0"), std::string("CROSS_SIZE=1"), std::string("MASTER_ADDR=127.0.0.1"),
          std::string("MASTER_PORT=29500"), std::string("CUDA_VISIBLE_DEVICES=1,3"),
          std::string("DS_LAUNCH_T0=17.5"), std::string("HOME=/h")})
      EXPECT_THAT(environment, Contains(entry));
    EXPECT_THAT(environment, Not(Contains("RANK=9")));
    EXPECT_THAT(environment, Each(Not(StartsWith("DS_RENDEZVOUS_FD="))));
  }
}

TEST(RankPlan, PutsTheLocalRankFirstUnlessToldNotTo) {
  LaunchOptions options;
  options.arguments = {"--lr", "1"};
  EXPECT_THAT(plan_ranks(options, {"localhost", {0, 1}}, kNative, kFacts)[1].argv,
              ElementsAre("prog", "--local_rank=1", "--lr", "1"));
  options.no_local_rank = true;
  EXPECT_THAT(plan_ranks(options, {"localhost", {0}}, kNative, kFacts)[0].argv,
              ElementsAre("prog", "--lr", "1"));
}

TEST(RankPlan, GivesTheSocketToRankZeroOfACompiledProgramOnly) {
  const Host host{"localhost", {0, 1}};
  auto plans = plan_ranks({}, host, kNative, kFacts);
  EXPECT_TRUE(plans[0].gets_socket);
  EXPECT_FALSE(plans[1].gets_socket);
  EXPECT_FALSE(plan_ranks({}, host, {"/bin/bash", {"bash"}, true}, kFacts)[0].gets_socket);
  LaunchOptions options;
  options.no_listen = true;
  EXPECT_FALSE(plan_ranks(options, host, kNative, kFacts)[0].gets_socket);
}

TEST(RankPlan, ABoundRankHasAThreadForEachCore) {
  LaunchFacts facts = kFacts;
  facts.base_environment.push_back("OMP_NUM_THREADS=64");
  const Host host{"localhost", {0, 1}};
  EXPECT_THAT(plan_ranks({}, host, kNative, facts)[1].environment, Contains("OMP_NUM_THREADS=64"));
  facts.bindings = bind_cores({1, 3, 4, 5}, 2, {});
  const auto plans = plan_ranks({}, host, kNative, facts);
  EXPECT_THAT(plans[0].binding->cores, ElementsAre(1, 3));
  EXPECT_THAT(plans[1].binding->cores, ElementsAre(4, 5));
  EXPECT_THAT(plans[1].environment, Contains("OMP_NUM_THREADS=2"));
  EXPECT_THAT(plans[1].environment, Not(Contains("OMP_NUM_THREADS=64")));
}

TEST(RankPlan, NamesLogsByTimeAndRank) {
  LaunchOptions options;
  options.rank_log_dir = "logs";
  EXPECT_EQ(plan_ranks(options, {"localhost", {0, 1}}, kNative, kFacts)[1].log_path,
            "logs/20260101000000_rank1.log");
}

}  // namespace
}  // namespace deepspeed::launcher
