// Ranks started by srun, in a SLURM cluster that lives as long as one command
// (tests/launcher/slurm_cluster.sh).
#include <gmock/gmock.h>

#include <algorithm>
#include <sstream>

#include "tests/launcher/started_by.h"

namespace deepspeed {
namespace {

using testing::HasSubstr;
using testing_support::Finished;
using testing_support::run;

constexpr int kNotInstalled = 77;

class Slurm : public testing_support::StartedByOthers {
 protected:
  static std::string quoted(const std::vector<std::string>& words) {
    std::string text;
    for (const std::string& word : words) text += "'" + word + "' ";
    return text;
  }
  static Finished in_cluster(const std::string& script) {
    return run(
        {"timeout", "200", DS_SOURCE_DIR "/tests/launcher/slurm_cluster.sh", "bash", "-e", "-c", script});
  }
};

TEST_F(Slurm, StartsRanksThatKnowWhoTheyAreAndTrainTheSame) {
  const std::string helper = bin("launcher_rank_helper");
  write("job.sh", "#!/bin/bash\n'" + helper + "' discover >'" + path("batch.out") + "' || true\n");
  const auto expected = expected_losses();
  const Finished finished = in_cluster(
      "srun -n 2 '" + helper + "' discover | sort\n" +                                  //
      "sbatch -n 2 -o /dev/null --wait '" + path("job.sh") + "' >/dev/null\n" +         //
      "echo batch: $(cat '" + path("batch.out") + "')\n" +                              //
      quoted(behind({"srun", "-n", "2"}, "direct.jsonl")) + "\n" +                      //
      quoted(through("slurm", {"--num_accelerators", "2"}, "launched.jsonl")) + "\n" +  //
      "code=0; '" + bin("deepspeed") + "' -q --launcher slurm --force_multi --num_accelerators 2 " +
      "bash -c 'test $SLURM_PROCID = 0 || exit 5; sleep 1' || code=$?; echo code $code\n" +  //
      "squeue --noheader; echo end\n");
  if (finished.code == kNotInstalled) GTEST_SKIP() << finished.output;
  EXPECT_EQ(finished.code, 0) << finished.output;
  EXPECT_THAT(finished.output, HasSubstr("SLURM: rank 0 of 2, local rank 0 of 2\n"
                                         "SLURM: rank 1 of 2, local rank 1 of 2\n"));
  EXPECT_THAT(finished.output, HasSubstr("batch: started by nobody"));
  EXPECT_EQ(losses("direct.jsonl"), expected);
  EXPECT_EQ(losses("launched.jsonl"), expected);
  EXPECT_THAT(finished.output, HasSubstr("code 5\n"));
}

}  // namespace
}  // namespace deepspeed
