// ds_train started by mpirun, directly and through `deepspeed --launcher`: the losses of `deepspeed` alone.
#include "tests/launcher/mpi_here.h"
#include "tests/launcher/started_by.h"

namespace deepspeed {
namespace {

using testing_support::Finished;
using testing_support::run;

class TrainByMpirun : public testing_support::StartedByOthers {};

TEST_F(TrainByMpirun, OpenMpiGivesTheSameLosses) {
  const std::string mpirun = test_support::mpirun_of("openmpi");
  if (mpirun.empty()) GTEST_SKIP() << "openmpi-bin is not installed";
  const auto expected = expected_losses();
  const Finished direct =
      run(behind({mpirun, "--oversubscribe", "--bind-to", "none", "-n", "2"}, "direct.jsonl"));
  EXPECT_EQ(direct.code, 0) << direct.output;
  EXPECT_EQ(losses("direct.jsonl"), expected);
  const Finished launched =
      run(through("openmpi", {"-H", path("hosts"), "--launcher_args", "--oversubscribe --bind-to none"},
                  "launched.jsonl"));
  EXPECT_EQ(launched.code, 0) << launched.output;
  EXPECT_EQ(losses("launched.jsonl"), expected);
}

TEST_F(TrainByMpirun, MpichGivesTheSameLosses) {
  const std::string mpirun = test_support::mpirun_of("mpich");
  if (mpirun.empty()) GTEST_SKIP() << "mpich is not installed";
  const auto expected = expected_losses();
  const Finished direct = run(behind({mpirun, "-n", "2"}, "direct.jsonl"));
  EXPECT_EQ(direct.code, 0) << direct.output;
  EXPECT_EQ(losses("direct.jsonl"), expected);
  for (const char* launcher : {"mpich", "impi"}) {
    const std::string log = std::string(launcher) + ".jsonl";
    const Finished launched = run(through(launcher, {"-H", path("hosts")}, log));
    EXPECT_EQ(launched.code, 0) << launched.output;
    EXPECT_EQ(losses(log), expected) << launcher;
  }
}

TEST_F(TrainByMpirun, BoundRanksGiveTheSameLosses) {
  const auto expected = expected_losses();
  auto command = launched(2, {"--steps", "4", "--log-jsonl", path("bound.jsonl")});
  command.insert(command.begin() + 1, "--bind_cores_to_rank");
  const Finished bound = run(command);
  if (bound.output.find("cannot have a core each") != std::string::npos)
    GTEST_SKIP() << "this machine has one core";
  EXPECT_EQ(bound.code, 0) << bound.output;
  const auto values = losses("bound.jsonl");
  ASSERT_EQ(values.size(), expected.size());
  // Another number of threads may add in another order.
  for (size_t i = 0; i < values.size(); ++i) EXPECT_NEAR(values[i], expected[i], 1e-5 * expected[i]);
}

}  // namespace
}  // namespace deepspeed
