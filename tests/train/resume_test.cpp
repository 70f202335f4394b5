// ds_train --load: the run that goes on must be the run that stopped.
#include <gmock/gmock.h>

#include <nlohmann/json.hpp>

#include "deepspeed/base/file.h"
#include "tests/train/folder.h"

namespace deepspeed {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;
using testing_support::Finished;
using testing_support::run;

class Resume : public testing_support::TrainingFolder {
 protected:
  void SetUp() override {
    TrainingFolder::SetUp();
    const Finished saved = run(train({"--save", path("ckpt"), "-q"}));
    ASSERT_EQ(saved.code, 0) << saved.output;
  }
  Finished resumed(std::vector<std::string> more) const {
    more.insert(more.begin(), {"--load", path("ckpt"), "--steps", "4"});
    return run(train(std::move(more)));
  }
  void expect_refusal(const std::vector<std::string>& flags, const std::string& difference) const {
    const Finished finished = resumed(flags);
    EXPECT_EQ(finished.code, 1) << finished.output;
    EXPECT_THAT(finished.output, AllOf(HasSubstr(path("ckpt")), HasSubstr(difference),
                                       HasSubstr("--restart-data to go on from the first sample")));
  }
  std::vector<double> losses(const std::string& log) const {
    std::vector<double> all;
    std::ifstream in(path(log));
    for (std::string line; std::getline(in, line);)
      all.push_back(nlohmann::json::parse(line)["loss"].get<double>());
    return all;
  }
};

TEST_F(Resume, RefusesAnotherSeedLengthOrder) {
  expect_refusal({"--seed", "7"}, "--seed was 1, is 7");
  expect_refusal({"--seq-length", "16"}, "--seq-length was 32, is 16");
  expect_refusal({"--no-shuffle"}, "samples were shuffled, now --no-shuffle is given");
  expect_refusal({"dataloader_drop_last=true"}, "dataloader_drop_last was false, is true");
  expect_refusal({"--seed", "7", "--no-shuffle"}, "--seed was 1, is 7; samples were shuffled");
}

TEST_F(Resume, RefusesOtherData) {
  const std::string bytes = base::read_text_file(path("data.bin"));
  write("data.bin", bytes.substr(0, bytes.size() / 2));
  expect_refusal({}, "the number of --data's samples was");
  std::string other = bytes;
  std::swap(other[0], other[2]);
  write("data.bin", other);
  expect_refusal({}, "samples hold something else");
  write("data.bin", bytes);
  EXPECT_EQ(resumed({"-q"}).code, 0);
}

TEST_F(Resume, GoesOnFromTheFirstSampleWhenAskedTo) {
  // What restarts on other data sees exactly what a fresh run on it sees, and so does what resumes that.
  ASSERT_EQ(
      run(train({"--seq-length", "16", "--steps", "3", "--no-shuffle", "-q", "--save", path("fresh")})).code,
      0);
  ASSERT_EQ(
      resumed({"--seq-length", "16", "--no-shuffle", "--restart-data", "--save", path("again"), "-q"}).code,
      0);
  const auto state = [&](const char* folder, const char* tag) {
    return nlohmann::json::parse(
        base::read_text_file(path(folder) + "/" + tag + "/state.json"))["client_state"]["ds_train"];
  };
  EXPECT_EQ(state("fresh", "global_step3")["begin_samples"], 0);
  EXPECT_EQ(state("again", "global_step4")["begin_samples"], 2);
  EXPECT_EQ(state("again", "global_step4")["begin_step"], 2);

  const std::vector<std::string> on = {"--seq-length",   "16", "--no-shuffle", "--log-jsonl",
                                       path("on.jsonl"), "-q"};
  auto whole = on, rest = on;
  whole.insert(whole.end(), {"--load", path("ckpt"), "--steps", "6", "--restart-data"});
  rest.insert(rest.end(), {"--load", path("again"), "--steps", "6"});
  ASSERT_EQ(run(train(whole)).code, 0);
  ASSERT_EQ(run(train(rest)).code, 0);
  const auto all = losses("on.jsonl");  // steps 3 to 6, then 5 and 6 again
  ASSERT_EQ(all.size(), 6u);
  EXPECT_EQ(all[2], all[4]);
  EXPECT_EQ(all[3], all[5]);
}

TEST_F(Resume, CountsEpochsFromWhereTheDataBegan) {
  write("small.bin", base::read_text_file(path("data.bin")).substr(0, 3 * 32 * 2));
  const Finished finished =
      run({bin("ds_train"), "--model", path("model"), "--data", path("small.bin"), "--deepspeed_config",
           path("ds.json"), "--seq-length", "32", "--load", path("ckpt"), "--restart-data", "--epochs", "2"});
  EXPECT_EQ(finished.code, 0) << finished.output;
  EXPECT_THAT(finished.output, HasSubstr("steps 3 to 8"));
}

TEST_F(Resume, RestartingNeedsACheckpoint) {
  const Finished finished = run(train({"--restart-data"}));
  EXPECT_EQ(finished.code, 1);
  EXPECT_THAT(finished.output, HasSubstr("--restart-data needs --load"));
}

TEST_F(Resume, SaysWhenNothingIsLeftToTrain) {
  const Finished finished = run(train({"--load", path("ckpt"), "--export", path("exported")}));
  EXPECT_EQ(finished.code, 0) << finished.output;
  EXPECT_THAT(finished.output, AllOf(HasSubstr("step 2 of 2 already: nothing is left to train"),
                                     HasSubstr("exported"), Not(HasSubstr("steps 3"))));
}

}  // namespace
}  // namespace deepspeed
