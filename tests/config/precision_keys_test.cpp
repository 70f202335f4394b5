// torch_autocast and data_types: what they say and what they refuse.
#include <gmock/gmock.h>

#include "deepspeed/engine/name_pattern.h"
#include "deepspeed/engine/parse_config.h"
#include "errors.h"

namespace deepspeed::engine {
namespace {

using config::DataType;
using ::testing::ElementsAre;
using testing::error_of;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

DeepspeedConfig parse(const std::string& members) {
  return parse_config(config::parse_text("{\"train_batch_size\": 8,\n" + members + "}", "ds.json"), 2);
}
std::string error_in(const std::string& members) {
  return error_of([&] { parse(members); });
}

TEST(TorchAutocastKeys, AreReadAndHaveDeepSpeedsDefaults) {
  const auto initial = parse("").torch_autocast;
  EXPECT_FALSE(initial.enabled || initial.dtype || initial.lower_precision_safe_modules ||
               initial.cast_type());
  const auto given = parse(R"("torch_autocast": {"enabled": true, "dtype": "torch.float16",
      "lower_precision_safe_modules": ["torch.nn.Linear"]})");
  EXPECT_EQ(given.torch_autocast.cast_type(), DataType::kFp16);
  EXPECT_THAT(*given.torch_autocast.lower_precision_safe_modules, ElementsAre("torch.nn.Linear"));
  EXPECT_TRUE(given.scales_loss());
  EXPECT_EQ(given.model_dtype(), DataType::kFp32);
  EXPECT_EQ(given.precision_text(), "fp32 with autocast to fp16");
  EXPECT_EQ(parse(R"("torch_autocast": {"enabled": true})").torch_autocast.cast_type(), DataType::kBf16);
  EXPECT_FALSE(parse(R"("torch_autocast": {"enabled": true})").scales_loss());
  EXPECT_EQ(parse(R"("torch_autocast": {"enabled": false, "dtype": "fp16"}, "bf16": {"enabled": true})")
                .precision_text(),
            "bf16");
}

TEST(TorchAutocastKeys, RefuseWhatCannotBe) {
  EXPECT_THAT(
      error_in(R"("torch_autocast": {"enabled": true}, "bf16": {"enabled": true})"),
      HasSubstr("torch_autocast.enabled = true at ds.json:2:20 keeps parameters in fp32, bf16.enabled"));
  EXPECT_THAT(error_in(R"("torch_autocast": {"enabled": true}, "fp16": {"enabled": true})"),
              HasSubstr("fp16.enabled"));
  EXPECT_THAT(error_in(R"("torch_autocast": {"dtype": "int8"})"), HasSubstr("torch_autocast.dtype must be"));
  EXPECT_THAT(error_in(R"("torch_autocast": {"dtype": null})"), HasSubstr("not null"));
  EXPECT_THAT(error_in(R"("torch_autocast": {"lower_precision_safe_modules": "torch.nn.Linear"})"),
              HasSubstr("a list of texts"));
  EXPECT_THAT(error_in(R"("torch_autocast": {"lower_precision_safe_modules": [1]})"),
              HasSubstr("torch_autocast.lower_precision_safe_modules"));
  EXPECT_THAT(error_in(R"("torch_autocast": {"lower_precision_modules": []})"),
              HasSubstr("lower_precision_safe_modules"));
}

TEST(TorchAutocastKeys, WarnThatFp32CastsNothing) {
  const auto config = parse(R"("torch_autocast": {"enabled": true, "dtype": "fp32"})");
  EXPECT_FALSE(config.torch_autocast.cast_type());
  EXPECT_THAT(config.warnings, ElementsAre(HasSubstr("autocast to fp32 casts nothing")));
}

// DeepSpeed asks for a stage whether or not bf16 is on.
TEST(Bf16States, NeedAStageEvenWhereBf16IsOff) {
  EXPECT_THAT(error_in(R"("bf16": {"enabled": false, "bf16_master_weights_and_grads": true})"),
              HasSubstr("needs zero_optimization.stage 1, 2 or 3"));
  EXPECT_EQ(error_in(R"("zero_optimization": {"stage": 1},
                       "bf16": {"enabled": false, "bf16_master_weights_and_grads": true})"),
            "");
}

TEST(DataTypeKeys, AreRead) {
  EXPECT_FALSE(parse("").engine.buffer_dtype || parse("").engine.keep_in_fp32_modules);
  const auto given =
      parse(R"("bf16": {"enabled": true}, "data_types": {"buffer_dtype": "bfloat16", "param_dtype": "bf16",
      "keep_in_fp32_modules": ["gate*bias", "norm"]})");
  EXPECT_EQ(given.engine.buffer_dtype, DataType::kBf16);
  EXPECT_EQ(given.engine.param_dtype, DataType::kBf16);
  EXPECT_THAT(*given.engine.keep_in_fp32_modules, ElementsAre("gate*bias", "norm"));
  EXPECT_THAT(given.warnings, IsEmpty());
  EXPECT_FALSE(
      parse(R"("data_types": {"keep_in_fp32_modules": "auto", "buffer_dtype": null, "param_dtype": null})")
          .engine.keep_in_fp32_modules);
  EXPECT_THAT(*parse(R"("data_types": {"keep_in_fp32_modules": []})").engine.keep_in_fp32_modules, IsEmpty());
}

TEST(DataTypeKeys, SayWhereTheyHaveNoEffect) {
  EXPECT_THAT(parse(R"("data_types": {"buffer_dtype": "bf16", "keep_in_fp32_modules": ["a"]})").warnings,
              ElementsAre(HasSubstr("data_types.buffer_dtype"), HasSubstr("no effect without fp16 or bf16")));
}

TEST(DataTypeKeys, RefuseWhatNamesNothing) {
  for (const char* value : {"\"norm\"", "[1]", "3", "null", "{}"})
    EXPECT_NE(error_in(fmt::format(R"("data_types": {{"keep_in_fp32_modules": {}}})", value)), "") << value;
  EXPECT_THAT(error_in(R"("data_types": {"keep_in_fp32_modules": ["a["]})"), HasSubstr("is no name pattern"));
  EXPECT_THAT(error_in(R"("data_types": {"buffer_dtype": "int4"})"),
              HasSubstr("data_types.buffer_dtype must be"));
}

TEST(NamePattern, IsFoundAnywhereAndStarsStandForAnyText) {
  const auto matches = [](const std::vector<std::string>& patterns, const std::string& name) {
    return std::regex_search(name, name_pattern(patterns));
  };
  EXPECT_TRUE(matches({"gate.*bias"}, "layers.3.gate.score_bias"));
  EXPECT_TRUE(matches({"gate*bias"}, "layers.3.gate.score_bias"));
  EXPECT_FALSE(matches({"gate*bias"}, "layers.3.gate.score"));
  EXPECT_TRUE(matches({"nothing", "inv_freq"}, "rotary.inv_freq"));
  EXPECT_TRUE(matches({"^rotary"}, "rotary.inv_freq"));
  EXPECT_FALSE(matches({"^inv_freq"}, "rotary.inv_freq"));
  EXPECT_FALSE(matches({}, "rotary.inv_freq"));
  EXPECT_TRUE(matches({""}, "rotary.inv_freq"));
}

}  // namespace
}  // namespace deepspeed::engine
