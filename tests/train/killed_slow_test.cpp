// A rank killed while it starts, trains or saves, in every placement of model states.
#include <fmt/format.h>

#include "tests/train/killed.h"

namespace deepspeed {
namespace {

using testing_support::Moment;

constexpr const char* kOptimizerOnDisk =
    R"("offload_optimizer": {"device": "nvme", "nvme_path": "{nvme}", "pipeline_read": true, "pipeline_write": true})";
constexpr const char* kParametersOnDisk =
    R"("offload_param": {"device": "nvme", "nvme_path": "{nvme}", "max_in_cpu": 500})";
constexpr const char* kOptimizerInMemory = R"("offload_optimizer": {"device": "cpu", "ratio": 0.3})";

struct Placement {
  int stage;
  bool bf16;
  std::vector<std::string> keys;
};

const std::vector<Placement> kPlacements = {
    {0, false, {}},
    {1, false, {}},
    {2, true, {}},
    {3, false, {}},
    {3, true, {R"("zero_quantized_gradients": true, "zero_quantized_weights": true)"}},
    {2, true, {R"("offload_optimizer": {"device": "cpu"})"}},
    {3, true, {kOptimizerInMemory}},
    {1, true, {kOptimizerOnDisk}},
    {3, true, {kOptimizerOnDisk}},
    {3, false, {kOptimizerOnDisk, kParametersOnDisk}},
    {3, false, {kParametersOnDisk}},
    {3, true, {kOptimizerInMemory, kParametersOnDisk}}};

class DsTrainKilledEverywhere : public testing_support::KilledRun,
                                public testing::WithParamInterface<std::tuple<Moment, Placement>> {};

TEST_P(DsTrainKilledEverywhere, EndsAndResumes) {
  const auto& [moment, placement] = GetParam();
  std::string zero = fmt::format(R"({{"stage": {}, "sub_group_size": 2000)", placement.stage);
  for (const auto& key : placement.keys) zero += ", " + key;
  expect_a_clean_end(kill_rank_1(moment, zero + "}", placement.bf16 ? R"(, "bf16": {"enabled": true})" : ""));
  if (moment != Moment::kStarting) expect_to_resume();
}

INSTANTIATE_TEST_SUITE_P(Placements, DsTrainKilledEverywhere,
                         testing::Combine(testing::Values(Moment::kStarting, Moment::kTraining,
                                                          Moment::kSaving),
                                          testing::ValuesIn(kPlacements)));

}  // namespace
}  // namespace deepspeed
