// KEY=VALUE on a command line.
#include "deepspeed/config/overrides.h"

#include <gmock/gmock.h>

#include "deepspeed/engine/parse_config.h"
#include "errors.h"

namespace deepspeed::config {
namespace {

using engine::DeepspeedConfig;
using testing::error_of;
using ::testing::HasSubstr;

Document document() {
  return parse_text(
      "{\"train_batch_size\": 8,\n \"optimizer\": {\"type\": \"Adam\",\n  \"params\": {\"lr\": 0.1}}}",
      "ds.json");
}

Document set(const std::vector<std::string>& assignments) { return with_overrides(document(), assignments); }

DeepspeedConfig parse(const std::vector<std::string>& assignments) {
  return engine::parse_config(set(assignments), 1);
}

TEST(Overrides, ReplaceAndAddKeysAtAnyDepth) {
  const DeepspeedConfig config =
      parse({"zero_optimization.stage=1", "optimizer.params.lr=2e-4", "optimizer.type=AdamW",
             "bf16.enabled=true", "optimizer.params.betas=[0.8, 0.9]", "gradient_clipping=0.5"});
  EXPECT_EQ(config.zero.stage, 1);
  EXPECT_EQ(config.optimizer.lr, 2e-4);
  EXPECT_EQ(config.optimizer.type, optim::OptimizerType::kAdamW);
  EXPECT_EQ(config.optimizer.betas[0], 0.8);
  EXPECT_TRUE(config.bf16.enabled);
  EXPECT_EQ(config.engine.gradient_clipping, 0.5);
  EXPECT_EQ(config.engine.train_batch_size, 8);
}

TEST(Overrides, TheLastOneWinsAndTextsMayHoldEqualsSigns) {
  EXPECT_EQ(set({"train_batch_size=2", "train_batch_size=4"}).json["train_batch_size"], 4);
  EXPECT_EQ(set({"tensorboard.job_name=a=b.c"}).json["tensorboard"]["job_name"], "a=b.c");
  EXPECT_EQ(set({"tensorboard.job_name=\"7\""}).json["tensorboard"]["job_name"], "7");
  EXPECT_EQ(set({"tensorboard.job_name="}).json["tensorboard"]["job_name"], "");
}

TEST(Overrides, MistakesAreNamedWithThePlaceAndTheNearestKey) {
  const std::string unknown = error_of([] { parse({"zero_optimization.stge=1"}); });
  EXPECT_THAT(unknown, HasSubstr("stge"));
  EXPECT_THAT(unknown, HasSubstr("did you mean 'stage'?"));
  EXPECT_THAT(unknown, HasSubstr("the command line"));
  EXPECT_THAT(error_of([] { parse({"zero_optimization.stage=9"}); }), HasSubstr("at the command line"));
  // What the file says keeps its place.
  EXPECT_THAT(error_of([] {
                engine::parse_config(with_overrides(parse_text("{\n\"train_batch_size\": -1}", "ds.json"),
                                                    std::vector<std::string>{"gradient_clipping=1"}),
                                     1);
              }),
              HasSubstr("ds.json:2:1"));
}

TEST(Overrides, RefuseWhatIsNoAssignment) {
  EXPECT_THAT(error_of([] { set({"stage"}); }), HasSubstr("'stage' is no KEY=VALUE"));
  EXPECT_THAT(error_of([] { set({"=1"}); }), HasSubstr("no KEY=VALUE"));
  EXPECT_THAT(error_of([] { set({"optimizer..lr=1"}); }), HasSubstr("a part of the key is empty"));
  EXPECT_THAT(error_of([] { set({"optimizer.type.lr=1"}); }),
              HasSubstr("'optimizer.type' is \"Adam\" in ds.json"));
}

TEST(Overrides, ReadBlocksAsStrictlyAsAFilesAndTextsAsUtf8) {
  EXPECT_EQ(parse({R"(fp16={"enabled": true, "hysteresis": 3})"}).fp16.hysteresis, 3);
  EXPECT_THAT(error_of([] { set({R"(fp16={"enabled": true, "enabled": false})"}); }),
              ::testing::AllOf(HasSubstr("enabled"), HasSubstr("'fp16' at the command line")));
  EXPECT_THAT(error_of([] { set({"tensorboard.job_name=\xff"}); }),
              HasSubstr("the value of 'tensorboard.job_name' at the command line is not UTF-8"));
}

}  // namespace
}  // namespace deepspeed::config
