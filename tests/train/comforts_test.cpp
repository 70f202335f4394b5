// ds_train's comforts: the report page, KEY=VALUE, --dry-run.
#include <gmock/gmock.h>
#include <signal.h>

#include <chrono>
#include <nlohmann/json.hpp>
#include <thread>

#include "deepspeed/base/file.h"
#include "tests/train/folder.h"

namespace deepspeed {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;
using testing_support::Finished;
using testing_support::run;
namespace fs = std::filesystem;

class DsTrainComforts : public testing_support::TrainingFolder {};

TEST_F(DsTrainComforts, WritesTheReportOfAWholeRun) {
  const Finished finished =
      run(launched(2, {"--steps", "3", "--report", path("run.html"), "-q", "gradient_clipping=0.25"}));
  ASSERT_EQ(finished.code, 0) << finished.output;
  const std::string page = base::read_text_file(path("run.html"));
  EXPECT_THAT(
      page, AllOf(HasSubstr("step 3 of 3, finished"), HasSubstr("<svg"), HasSubstr("gradient_clipping=0.25"),
                  HasSubstr("&quot;gradient_clipping&quot;: 0.25")));
}

TEST_F(DsTrainComforts, WritesTheReportWhenItIsStopped) {
  std::vector<std::string> command = {"/bin/sh", "-c", "echo $$ >\"$0\"; exec \"$@\"", path("pid")};
  const auto program =
      train({"--steps", "1000000", "--report", path("run.html"), "-q", "--log-jsonl", path("log.jsonl")});
  command.insert(command.end(), program.begin(), program.end());
  std::thread killer([&] {
    for (int i = 0; i < 600; ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
      if (fs::exists(path("log.jsonl")) && fs::file_size(path("log.jsonl")) > 0) break;
    }
    ::kill(std::stoi(base::read_text_file(path("pid"))), SIGTERM);
  });
  const Finished finished = run(command);
  killer.join();
  EXPECT_EQ(finished.code, 128 + SIGTERM) << finished.output;
  EXPECT_THAT(base::read_text_file(path("run.html")), HasSubstr("of 1000000, stopped by a signal"));
}

TEST_F(DsTrainComforts, RefusesAReportThatItCannotWrite) {
  const Finished finished = run(train({"--report", path("nowhere/run.html"), "-q"}));
  EXPECT_EQ(finished.code, 1);
  EXPECT_THAT(finished.output, HasSubstr("nowhere/run.html"));
}

TEST_F(DsTrainComforts, TakesKeysFromTheCommandLine) {
  EXPECT_EQ(run(train({"-q", "--set", "zero_optimization.stage=1", "--set", "optimizer.params.lr=0.5",
                       "--log-jsonl", path("log.jsonl")}))
                .code,
            0);
  EXPECT_THAT(base::read_text_file(path("log.jsonl")), HasSubstr("\"lr\":0.5"));
  const Finished unknown = run(train({"-q", "zero_optimization.stge=1"}));
  EXPECT_EQ(unknown.code, 1);
  EXPECT_THAT(unknown.output, AllOf(HasSubstr("did you mean 'stage'?"), HasSubstr("the command line")));
  EXPECT_THAT(run(train({"-q", "stage"})).output, HasSubstr("'stage' is no KEY=VALUE"));
}

TEST_F(DsTrainComforts, PlansWithoutTrainingOrWriting) {
  const Finished finished = run(launched(2, {"--dry-run", "--save", path("ckpt"), "--log-jsonl",
                                             path("log.jsonl"), "--report", path("run.html")}));
  ASSERT_EQ(finished.code, 0) << finished.output;
  EXPECT_THAT(finished.output,
              AllOf(HasSubstr("dry run"), HasSubstr("2, ZeRO stage 2: gradients and optimizer"),
                    HasSubstr("a rank: parameters ")));
  for (const char* made : {"ckpt", "log.jsonl", "run.html"}) EXPECT_FALSE(fs::exists(path(made))) << made;
}

TEST_F(DsTrainComforts, PlansNothingThatTrainingWouldRefuse) {
  write("ds.json", R"({"train_micro_batch_size_per_gpu": 1})");
  for (const auto& more : {std::vector<std::string>{"--dry-run"}, {}}) {
    const Finished finished = run(train(more));
    EXPECT_EQ(finished.code, 1);
    EXPECT_THAT(finished.output, HasSubstr("ds.json: there is no 'optimizer'"));
  }
  write("ds.json", R"({"train_micro_batch_size_per_gpu": 1073741824, "optimizer": {"type": "Adam"}})");
  EXPECT_THAT(run(train({"--dry-run"})).output, HasSubstr("a micro-batch of 1073741824 samples takes"));
}

TEST_F(DsTrainComforts, AnEmptyTextIsNoFlagLeftOut) {
  for (const char* flag : {"--load", "--save", "--export", "--report", "--log-jsonl", "--eval-data"}) {
    const Finished finished = run(train({flag, ""}));
    EXPECT_EQ(finished.code, 2) << flag;
    EXPECT_THAT(finished.output, AllOf(HasSubstr(flag), HasSubstr("the text is empty")));
  }
}

TEST_F(DsTrainComforts, PlansModelsWithDropout) {
  auto config = nlohmann::json::parse(base::read_text_file(path("model/config.json")));
  for (const char* key : {"embd_pdrop", "attn_pdrop", "resid_pdrop"}) config[key] = 0.1;
  write("model/config.json", config.dump());
  const Finished finished = run(train({"--dry-run"}));
  EXPECT_EQ(finished.code, 0) << finished.output;
  EXPECT_THAT(finished.output, HasSubstr("dry run"));
}

}  // namespace
}  // namespace deepspeed
