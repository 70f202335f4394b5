// The keys of ZeRO++ and MiCS, within a whole file.
#include <gmock/gmock.h>

#include "deepspeed/engine/parse_config.h"
#include "errors.h"

namespace deepspeed::engine {
namespace {

using ::testing::AllOf;
using testing::error_of;
using ::testing::HasSubstr;

zero::PlusPlusConfig parse(const std::string& members) {
  return parse_config(config::parse_text(
                          "{\"train_batch_size\": 8,\n\"zero_optimization\": {" + members + "}}", "ds.json"),
                      2)
      .zero.plus_plus;
}

std::string refusal(const std::string& members) {
  return error_of([&] { parse(members); });
}

TEST(PlusPlusKeys, AreReadAndHaveDeepSpeedsDefaults) {
  const auto initial = parse(R"("stage": 3)");
  EXPECT_EQ(initial.hpz_partition_size, 1);
  EXPECT_FALSE(initial.quantized_weights || initial.quantized_gradients || initial.loco);
  EXPECT_EQ(initial.mics_shard_size, -1);
  const auto given = parse(R"("stage": 3, "zero_hpz_partition_size": 4, "zero_quantized_weights": true,
    "zero_quantized_gradients": true, "zeropp_loco_param": {"err_beta": 0.25, "reset_T": 9})");
  EXPECT_EQ(given.hpz_partition_size, 4);
  EXPECT_TRUE(given.quantized_weights && given.quantized_gradients);
  ASSERT_TRUE(given.loco);
  EXPECT_EQ(given.loco->err_beta, 0.25);
  EXPECT_EQ(given.loco->reset_after, 9);
  EXPECT_EQ(given.gradient_bits, 4);
  const auto empty =
      parse(R"("stage": 3, "zero_quantized_gradients": true, "zeropp_loco_param": {})").loco.value();
  EXPECT_EQ(empty.err_beta, 0.8);
  EXPECT_EQ(empty.reset_after, 1024);
  EXPECT_EQ(parse(R"("stage": 3, "mics_shard_size": 2)").mics_shard_size, 2);
  EXPECT_FALSE(parse(R"("zeropp_loco_param": null, "zero_hpz_partition_size": 0)").loco);
}

TEST(PlusPlusKeys, NeedStageThree) {
  for (const char* key : {R"("zero_hpz_partition_size": 2)", R"("zero_quantized_weights": true)",
                          R"("zero_quantized_nontrainable_weights": true)",
                          R"("zero_quantized_gradients": true)", R"("mics_shard_size": 2)"})
    EXPECT_THAT(refusal(std::string(R"("stage": 2, )") + key),
                AllOf(HasSubstr("ds.json:2:"), HasSubstr("needs zero_optimization.stage 3; the stage is 2")));
}

TEST(PlusPlusKeys, ThatContradictOthersAreRefused) {
  EXPECT_THAT(refusal(R"("stage": 3, "mics_hierarchical_params_gather": true)"),
              HasSubstr("needs zero_optimization.mics_shard_size"));
  EXPECT_THAT(refusal(R"("stage": 3, "zeropp_loco_param": {})"),
              HasSubstr("needs zero_optimization.zero_quantized_gradients"));
  EXPECT_THAT(refusal(R"("stage": 3, "zero_quantized_gradients": true, "reduce_scatter": false)"),
              HasSubstr("needs zero_optimization.reduce_scatter"));
  EXPECT_THAT(refusal(R"("stage": 3, "mics_shard_size": 2, "zero_hpz_partition_size": 2)"),
              HasSubstr("mics_shard_size"));
  EXPECT_THAT(refusal(R"("stage": 3, "mics_shard_size": 2, "zero_quantized_gradients": true)"),
              HasSubstr("mics_shard_size"));
  EXPECT_THAT(refusal(R"("stage": 3, "zero_quantized_gradients": true, "zeropp_loco_param": {"beta": 1})"),
              HasSubstr("unknown key"));
  EXPECT_THAT(
      refusal(R"("stage": 3, "zero_quantized_gradients": true, "zeropp_loco_param": {"err_beta": 1.5})"),
      HasSubstr("err_beta"));
}

}  // namespace
}  // namespace deepspeed::engine
