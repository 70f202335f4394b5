#include "deepspeed/base/rank_discovery.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <map>

#include "deepspeed/base/error.h"

namespace deepspeed::base {
namespace {

using testing::HasSubstr;
using Variables = std::map<std::string, std::string>;

class RankDiscovery : public testing::Test {
 protected:
  void TearDown() override { set({}); }
  /// Leaves exactly these set, whatever started this test.
  void set(const Variables& variables) {
    for (const char* name :
         {"OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_RANK",
          "OMPI_COMM_WORLD_LOCAL_SIZE", "PMI_RANK", "PMIX_RANK", "PALS_RANKID", "PMI_SIZE", "MPI_LOCALRANKID",
          "PALS_LOCAL_RANKID", "MPI_LOCALNRANKS", "PALS_LOCAL_SIZE", "SLURM_PROCID", "SLURM_NTASKS",
          "SLURM_STEP_NUM_TASKS", "SLURM_LOCALID", "SLURM_NODEID", "SLURM_STEP_TASKS_PER_NODE"})
      ::unsetenv(name);
    for (const auto& [name, value] : variables) ::setenv(name.c_str(), value.c_str(), 1);
  }
  std::string error_with(const Variables& variables) {
    set(variables);
    try {
      discover_rank();
    } catch (const Error& error) {
      EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos);
      return error.what();
    }
    return "";
  }
};

const Variables kOpenMpi = {{"OMPI_COMM_WORLD_RANK", "5"},
                            {"OMPI_COMM_WORLD_SIZE", "8"},
                            {"OMPI_COMM_WORLD_LOCAL_RANK", "1"},
                            {"OMPI_COMM_WORLD_LOCAL_SIZE", "4"}};
const Variables kHydra = {
    {"PMI_RANK", "5"}, {"PMI_SIZE", "8"}, {"MPI_LOCALRANKID", "1"}, {"MPI_LOCALNRANKS", "4"}};
const Variables kPals = {
    {"PALS_RANKID", "5"}, {"PMI_RANK", "5"}, {"PMI_SIZE", "8"}, {"PALS_LOCAL_RANKID", "1"}};
const Variables kSlurm = {{"SLURM_PROCID", "5"}, {"SLURM_STEP_NUM_TASKS", "8"},
                          {"SLURM_NTASKS", "8"}, {"SLURM_LOCALID", "1"},
                          {"SLURM_NODEID", "1"}, {"SLURM_STEP_TASKS_PER_NODE", "4(x2)"}};

Variables with(Variables variables, const std::string& name, const std::string& value) {
  variables[name] = value;
  return variables;
}

Variables without(Variables variables, const std::string& name) {
  variables.erase(name);
  return variables;
}

TEST_F(RankDiscovery, UnderstandsEveryStarter) {
  const std::pair<const char*, Variables> starters[] = {
      {"Open MPI", kOpenMpi}, {"MPICH, Intel MPI or PALS", kHydra}, {"SLURM", kSlurm}};
  for (const auto& [name, variables] : starters) {
    set(variables);
    EXPECT_EQ(discover_rank(), (DiscoveredRank{name, 5, 1, 8, 4})) << name;
  }
  set(kPals);
  EXPECT_EQ(discover_rank(), (DiscoveredRank{"MPICH, Intel MPI or PALS", 5, 1, 8, std::nullopt}));
}

TEST_F(RankDiscovery, NothingSetIsNobody) {
  set({});
  EXPECT_EQ(discover_rank(), std::nullopt);
  set({{"OMPI_COMM_WORLD_LOCAL_SIZE", "2"}});
  EXPECT_EQ(discover_rank(), std::nullopt);
}

TEST_F(RankDiscovery, ABatchScriptOfSlurmIsNoRank) {
  set({{"SLURM_PROCID", "0"}, {"SLURM_NTASKS", "8"}, {"SLURM_LOCALID", "0"}, {"SLURM_NODEID", "0"}});
  EXPECT_EQ(discover_rank(), std::nullopt);
}

TEST_F(RankDiscovery, TheInnerStarterCounts) {
  Variables both = kHydra;
  for (const auto& [name, value] : Variables{{"SLURM_PROCID", "0"},
                                             {"SLURM_STEP_NUM_TASKS", "1"},
                                             {"SLURM_LOCALID", "0"},
                                             {"SLURM_STEP_TASKS_PER_NODE", "1"}})
    both[name] = value;
  set(both);
  EXPECT_EQ(discover_rank()->rank, 5);
}

TEST_F(RankDiscovery, SrunMayAlsoSpeakPmi) {
  set(with(kSlurm, "PMIX_RANK", "5"));  // --mpi=pmix
  EXPECT_EQ(discover_rank()->starter, "SLURM");
  set(with(with(kSlurm, "PMI_RANK", "5"), "PMI_SIZE", "8"));  // --mpi=pmi2
  EXPECT_EQ(discover_rank()->starter, "SLURM");
}

TEST_F(RankDiscovery, CountsSlurmsTasksOnThisNode) {
  const std::pair<const char*, int> cases[] = {{"0", 3}, {"2", 3}, {"3", 2}, {"4", 5}, {"5", 5}};
  for (const auto& [node, tasks] : cases) {
    set(with(with(kSlurm, "SLURM_STEP_TASKS_PER_NODE", "3(x3),2,5(x2)"), "SLURM_NODEID", node));
    EXPECT_EQ(discover_rank()->local_world_size, tasks) << node;
  }
  for (const char* bad : {"", "x", "0", "2(x", "2(x2", "2(x2)3", "2;2"})
    EXPECT_THAT(error_with(with(kSlurm, "SLURM_STEP_TASKS_PER_NODE", bad)),
                HasSubstr("SLURM_STEP_TASKS_PER_NODE=" + std::string(bad)))
        << bad;
}

TEST_F(RankDiscovery, HalfSetVariablesAreNamed) {
  EXPECT_THAT(error_with(without(kOpenMpi, "OMPI_COMM_WORLD_SIZE")),
              HasSubstr("OMPI_COMM_WORLD_RANK, OMPI_COMM_WORLD_LOCAL_RANK are set as by Open MPI, but "
                        "OMPI_COMM_WORLD_SIZE is not"));
  EXPECT_THAT(error_with(without(kHydra, "MPI_LOCALRANKID")),
              HasSubstr("but MPI_LOCALRANKID or PALS_LOCAL_RANKID is not"));
  EXPECT_THAT(error_with({{"PMIX_RANK", "0"}}), HasSubstr("PMIX_RANK is set"));
  EXPECT_THAT(error_with(without(kSlurm, "SLURM_PROCID")), HasSubstr("but SLURM_PROCID is not"));
}

TEST_F(RankDiscovery, ContradictionsAreNamed) {
  EXPECT_THAT(error_with(with(kHydra, "PMIX_RANK", "4")), HasSubstr("PMI_RANK=5 and PMIX_RANK=4 contradict"));
  EXPECT_THAT(error_with(with(kHydra, "PALS_LOCAL_RANKID", "0")),
              HasSubstr("MPI_LOCALRANKID=1 and PALS_LOCAL_RANKID=0 contradict"));
  EXPECT_THAT(error_with(with(kOpenMpi, "OMPI_COMM_WORLD_RANK", "8")),
              HasSubstr("OMPI_COMM_WORLD_RANK=8 is not below OMPI_COMM_WORLD_SIZE=8"));
  EXPECT_THAT(error_with(with(kOpenMpi, "OMPI_COMM_WORLD_LOCAL_RANK", "4")),
              HasSubstr("OMPI_COMM_WORLD_LOCAL_RANK=4 is not below OMPI_COMM_WORLD_LOCAL_SIZE=4"));
  EXPECT_THAT(error_with(with(kOpenMpi, "OMPI_COMM_WORLD_LOCAL_SIZE", "9")),
              HasSubstr("OMPI_COMM_WORLD_LOCAL_SIZE=9 is above"));
  EXPECT_THAT(error_with(with(kHydra, "PMI_SIZE", "0")), HasSubstr("PMI_SIZE=0"));
  EXPECT_THAT(error_with(with(kHydra, "PMI_RANK", "one")), HasSubstr("PMI_RANK='one'"));
  EXPECT_THAT(error_with(with(kHydra, "PMI_RANK", "-1")), HasSubstr("PMI_RANK=-1"));
}

}  // namespace
}  // namespace deepspeed::base
