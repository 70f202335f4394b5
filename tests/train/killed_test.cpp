#include "tests/train/killed.h"

namespace deepspeed {
namespace {

using testing_support::Moment;

class DsTrainKilled : public testing_support::KilledRun {};

TEST_F(DsTrainKilled, LeavesNothingOnTheDiskAndItsCheckpointResumes) {
  const auto killed = kill_rank_1(Moment::kTraining, R"({"stage": 3, "sub_group_size": 2000,
      "offload_optimizer": {"device": "nvme", "nvme_path": "{nvme}", "pipeline_read": true,
                            "pipeline_write": true}})",
                                  R"(, "bf16": {"enabled": true})");
  expect_a_clean_end(killed);
  expect_to_resume();
}

TEST_F(DsTrainKilled, TakesTheOthersDownWithItsSignal) {
  expect_a_clean_end(kill_rank_1(Moment::kTraining, R"({"stage": 2})", ""));
}

}  // namespace
}  // namespace deepspeed
