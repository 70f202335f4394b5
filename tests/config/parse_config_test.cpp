#include "deepspeed/engine/parse_config.h"

#include <gmock/gmock.h>

#include "errors.h"

namespace deepspeed::engine {
namespace {

using config::DataType;
using ::testing::AllOf;
using ::testing::ElementsAre;
using testing::error_of;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

DeepspeedConfig parse(const std::string& members, int world_size = 2) {
  return parse_config(
      config::parse_text("{\"train_batch_size\": 8" + (members.empty() ? "" : ",\n" + members) + "}",
                         "ds.json"),
      world_size);
}
std::string error_in(const std::string& members) {
  return error_of([&] { parse(members); });
}

TEST(ParseConfig, AnAlmostEmptyFileHasDeepSpeedsDefaults) {
  DeepspeedConfig c = parse("");
  EXPECT_EQ(c.engine.train_batch_size, 8);
  EXPECT_EQ(c.engine.train_micro_batch_size_per_gpu, 4);
  EXPECT_EQ(c.engine.gradient_accumulation_steps, 1);
  EXPECT_EQ(c.engine.gradient_clipping, 1.0);
  EXPECT_EQ(c.engine.steps_per_print, std::nullopt);
  EXPECT_EQ(c.engine.grad_accum_dtype, std::nullopt);
  EXPECT_EQ(c.zero.stage, 0);
  EXPECT_TRUE(c.zero.contiguous_gradients);
  EXPECT_TRUE(c.zero.reduce_scatter);
  EXPECT_EQ(c.zero.reduce_bucket_size, 500'000'000);
  EXPECT_EQ(c.zero.allgather_bucket_size, 500'000'000);
  EXPECT_EQ(c.zero.overlap_comm, std::nullopt);
  EXPECT_TRUE(c.bf16.check_grad_overflow);
  EXPECT_EQ(c.fp16.initial_scale_power, 16);
  EXPECT_EQ(c.fp16.hysteresis, 2);
  EXPECT_EQ(c.fp16.loss_scale_window, 1000);
  EXPECT_EQ(c.optimizer.type, std::nullopt);
  EXPECT_EQ(c.scheduler.schedule.index(), 0u);
  EXPECT_EQ(c.model_dtype(), DataType::kFp32);
  EXPECT_THAT(c.warnings, IsEmpty());
}

TEST(ParseConfig, AWholeFileReachesEveryOwner) {
  DeepspeedConfig c =
      parse(R"("gradient_accumulation_steps": 2, "gradient_clipping": 0.5, "steps_per_print": 10,
    "zero_optimization": {"stage": 2, "reduce_bucket_size": 2e8, "overlap_comm": true, "contiguous_gradients": false},
    "bf16": {"enabled": true, "check_grad_overflow": false}, "data_types": {"grad_accum_dtype": "fp32"},
    "optimizer": {"type": "AdamW", "params": {"lr": 3e-4}}, "checkpoint": {"tag_validation": "FAIL"},
    "scheduler": {"type": "WarmupLR", "params": {"warmup_num_steps": 10}}, "log_level": "warning",)");
  EXPECT_EQ(c.engine.train_micro_batch_size_per_gpu, 2);
  EXPECT_EQ(c.engine.gradient_clipping, 0.5);
  EXPECT_EQ(c.engine.steps_per_print, 10);
  EXPECT_EQ(c.zero.stage, 2);
  EXPECT_EQ(c.zero.reduce_bucket_size, 200'000'000);
  EXPECT_EQ(c.zero.overlap_comm, true);
  EXPECT_FALSE(c.zero.contiguous_gradients);
  EXPECT_EQ(c.model_dtype(), DataType::kBf16);
  EXPECT_FALSE(c.bf16.check_grad_overflow);
  EXPECT_EQ(c.engine.grad_accum_dtype, DataType::kFp32);
  EXPECT_EQ(c.optimizer.lr, 3e-4);
  EXPECT_EQ(c.checkpoint.tag_validation, checkpoint::TagValidation::kFail);
  EXPECT_EQ(std::get<optim::WarmupLrConfig>(c.scheduler.schedule).warmup_num_steps, 10);
  EXPECT_EQ(c.engine.log_level, "warning");
  EXPECT_EQ(c.raw["optimizer"]["type"], "AdamW");
}

TEST(ParseConfig, TakesTextFilesAndBase64) {
  EXPECT_EQ(parse_config("{\"train_batch_size\": 2}", 2).engine.train_batch_size, 2);
  EXPECT_EQ(parse_config("eyJ0cmFpbl9iYXRjaF9zaXplIjogMn0", 2).engine.train_batch_size, 2);
  EXPECT_THAT(error_of([] { parse_config("/no/such/ds.json", 2); }),
              HasSubstr("/no/such/ds.json: no such file"));
}

TEST(ParseConfig, TyposAtTheTopAreErrors) {
  EXPECT_EQ(error_in(R"("zero_optimisation": {"stage": 1})"),
            "unknown key 'zero_optimisation' at ds.json:2:1; did you mean 'zero_optimization'?");
  EXPECT_EQ(error_in(R"("fp16": {"enable": true})"),
            "unknown key 'enable' in fp16 at ds.json:2:10; did you mean 'enabled'?");
}

TEST(ParseConfig, StagesOutOfRangeAndWhatIsNotBuiltAreDifferentErrors) {
  EXPECT_EQ(error_in(R"("zero_optimization": {"stage": 4})"),
            "zero_optimization.stage must be a whole number >= 0 and <= 3: zero_optimization.stage = 4 at "
            "ds.json:2:23");
  EXPECT_EQ(error_in(R"("zero_optimization": {"stage": 1, "elastic_checkpoint": true})"),
            "not available yet: elastic ZeRO checkpoints (zero_optimization.elastic_checkpoint = true at "
            "ds.json:2:35)");
}

TEST(ParseConfig, StageThreeTakesItsKeysWithAndWithoutPrefix) {
  const DeepspeedConfig c = parse(
      R"("zero_optimization": {"stage": 3, "prefetch_bucket_size": 7, "stage3_max_live_parameters": 1e6,
         "leaf_module": {"names": "layers.0"}, "use_all_reduce_for_fetch_params": true})");
  EXPECT_EQ(c.zero.stage3.prefetch_bucket_size, 7);
  EXPECT_EQ(c.zero.stage3.max_live_parameters, 1'000'000);
  EXPECT_EQ(c.zero.stage3.param_persistence_threshold, 100'000);
  EXPECT_EQ(c.zero.stage3.leaf_module.names, std::vector<std::string>{"layers.0"});
  EXPECT_EQ(c.zero.stage3.leaf_module.classes.size(), 3u);
}

TEST(ParseConfig, ZeroTakesTheBooleanFormOf2020) {
  DeepspeedConfig c = parse(R"("zero_optimization": true, "allgather_size": 1000)");
  EXPECT_EQ(c.zero.stage, 1);
  EXPECT_EQ(c.zero.allgather_bucket_size, 1000);
  EXPECT_THAT(c.warnings, ElementsAre(HasSubstr("the boolean form is deprecated")));
  EXPECT_EQ(parse(R"("zero_optimization": false)").zero.stage, 0);
  EXPECT_EQ(parse(R"("zero_optimization": true)").zero.allgather_bucket_size, 500'000'000);
  EXPECT_THAT(error_in(R"("zero_optimization": true, "allgather_size": 3)"),
              HasSubstr("must be a multiple of 2"));
}

TEST(ParseConfig, ZeroTakesOtherSpellingsOf2020) {
  DeepspeedConfig c =
      parse(R"("zero_optimization": {"stage": 1, "max_elements_per_comm": 1e6, "cpu_offload": false,
                               "cpu_offload_use_pin_memory": true})");
  EXPECT_EQ(c.zero.reduce_bucket_size, 1'000'000);
  EXPECT_EQ(c.warnings.size(), 3u);
  EXPECT_EQ(parse(R"("zero_optimization": {"stage": 2, "cpu_offload": true})").zero.offload_optimizer.device,
            zero::Home::kCpu);
  EXPECT_FALSE(parse(R"("zero_optimization": {"cpu_offload": false})").zero.offload_optimizer.enabled());
  EXPECT_EQ(
      parse(R"("zero_optimization": {"stage": 3, "cpu_offload_params": true})").zero.offload_param.device,
      zero::Home::kCpu);
  EXPECT_THAT(
      error_in(R"("zero_optimization": {"cpu_offload": true, "offload_optimizer": {"device": "cpu"}})"),
      HasSubstr("both are given, keep 'offload_optimizer'"));
  EXPECT_EQ(parse(R"("fp32_allreduce": true)").zero.reduction.communication_data_type,
            config::DataType::kFp32);
  EXPECT_EQ(parse(R"("fp32_allreduce": false)").zero.reduction.communication_data_type, std::nullopt);
}

TEST(ParseConfig, ZeroTakesWhereStatesLive) {
  const DeepspeedConfig c = parse(R"("zero_force_ds_cpu_optimizer": false, "zero_optimization": {"stage": 3,
    "sub_group_size": 1e6, "offload_param": {"device": "cpu", "pin_memory": false},
    "offload_optimizer": {"device": "nvme", "nvme_path": "/nvme", "buffer_count": 5, "pipeline_read": true,
                          "ratio": 0.3, "fast_init": true, "cpuadam_cores_perc": 0.5}})");
  EXPECT_FALSE(c.engine.zero_force_ds_cpu_optimizer);
  EXPECT_EQ(c.zero.sub_group_size, 1'000'000);
  const auto& offload = c.zero.offload_optimizer;
  EXPECT_EQ(offload.device, zero::Home::kNvme);
  EXPECT_EQ(offload.nvme_path, "/nvme");
  EXPECT_EQ(offload.buffer_count, 5);
  EXPECT_TRUE(offload.pipeline_read && !offload.pipeline_write && offload.pin_memory);
  EXPECT_EQ(offload.ratio, 0.3);
  EXPECT_EQ(c.zero.offload_param.device, zero::Home::kCpu);
  EXPECT_FALSE(parse(R"("zero_optimization": {"offload_optimizer": null})").zero.offload_optimizer.enabled());
}

TEST(ParseConfig, TakesParametersOnADiskWhereverOptimizerStatesAre) {
  const auto text = [](const std::string& param, const std::string& optimizer) {
    return R"("zero_optimization": {"stage": 3, "offload_param": {"device": "nvme")" + param +
           R"(}, "offload_optimizer": {"device": ")" + optimizer + R"(", "nvme_path": "/d"}})";
  };
  EXPECT_EQ(parse(text(R"(, "nvme_path": "/d", "max_in_cpu": 5)", "nvme")).zero.offload_param.max_in_cpu, 5);
  EXPECT_THAT(error_in(text("", "nvme")), HasSubstr("needs \"nvme_path\""));
  for (const char* optimizer : {"none", "cpu"})
    EXPECT_EQ(parse(text(R"(, "nvme_path": "/d")", optimizer)).zero.offload_param.device, zero::Home::kNvme);
  EXPECT_THAT(error_in(R"("zero_optimization": {"stage": 3, "sub_group_size": 0,
                          "offload_param": {"device": "nvme", "nvme_path": "/d"}})"),
              HasSubstr("needs to be > 0 for parameters on NVMe"));
}

TEST(ParseConfig, SaysThatParametersAreOffloadedAtStage3Alone) {
  EXPECT_THAT(parse(R"("zero_optimization": {"stage": 2, "offload_param": {"device": "cpu"}})").warnings,
              ElementsAre(HasSubstr("offload_param has no effect below stage 3")));
}

TEST(ParseConfig, TakesSixteenBitMastersWithOffloadOfAdamAlone) {
  const std::string offload =
      R"(, "zero_optimization": {"stage": 2, "offload_optimizer": {"device": "cpu"}})";
  const std::string adam = R"(, "optimizer": {"type": "Adam"})", lion = R"(, "optimizer": {"type": "Lion"})";
  const std::string fp16 = R"("fp16": {"enabled": true, "fp16_master_weights_and_grads": true})";
  const std::string bf16 = R"("bf16": {"enabled": true, "bf16_master_weights_and_grads": true})";
  EXPECT_EQ(parse(fp16 + offload + adam).master_dtype(), config::DataType::kFp16);
  EXPECT_EQ(parse(bf16 + offload + adam).master_dtype(), config::DataType::kBf16);
  for (const auto& masters : {fp16, bf16}) {
    EXPECT_THAT(error_in(masters + offload + lion), HasSubstr("and Adam"));
    EXPECT_THAT(error_in(masters + adam + R"(, "zero_optimization": {"stage": 2})"),
                HasSubstr("offload_optimizer"));
  }
}

TEST(ParseConfig, RefusesStepsThatWouldNeverEnd) {
  for (const char* batch :
       {R"({"train_batch_size": 9223372036854775806})", R"({"train_micro_batch_size_per_gpu": 1e12})",
        R"({"train_micro_batch_size_per_gpu": 1, "gradient_accumulation_steps": 1e18})"})
    EXPECT_THAT(error_of([&] { parse_config(config::parse_text(batch, "ds.json"), 2); }),
                HasSubstr("would never end"));
}

TEST(ParseConfig, TakesTheKeysOnGradientReductions) {
  const auto given = parse(R"("prescale_gradients": true, "gradient_predivide_factor": 2,
                              "gradient_allreduce_op": "sum", "communication_data_type": "BF16")")
                         .zero.reduction;
  EXPECT_TRUE(given.prescale_gradients);
  EXPECT_EQ(given.gradient_predivide_factor, 2);
  EXPECT_EQ(given.gradient_allreduce_op, zero::GradientOp::kSum);
  EXPECT_EQ(given.communication_data_type, config::DataType::kBf16);
  EXPECT_NE(error_in(R"("gradient_predivide_factor": 0)"), "");
  EXPECT_NE(error_in(R"("communication_data_type": "int8")"), "");
}

TEST(ParseConfig, StageThreeKeysAreHarmlessBelowStageThree) {
  EXPECT_EQ(
      error_in(
          R"("zero_optimization": {"stage": 2, "stage3_prefetch_bucket_size": 1e7, "max_live_parameters": 1e9,
                        "stage3_gather_16bit_weights_on_model_save": true, "sub_group_size": 1e9})"),
      "");
  EXPECT_EQ(
      error_in(R"("zero_optimization": {"stage": 2, "stage3_gather_fp16_weights_on_model_save": true})"), "");
  EXPECT_THAT(
      error_in(R"("zero_optimization": {"stage3_prefetch_bucket_size": 1, "prefetch_bucket_size": 2})"),
      HasSubstr("two names of one key"));
  EXPECT_THAT(error_in(R"("zero_optimization": {"stage3_max_live_parameters": -1})"), HasSubstr(">= 0"));
}

TEST(ParseConfig, AutoIsTheDefaultInStrictBlocksOnly) {
  EXPECT_EQ(
      parse(R"("zero_optimization": {"stage": "auto", "reduce_bucket_size": "auto", "overlap_comm": "auto"})")
          .zero.reduce_bucket_size,
      500'000'000);
  EXPECT_THAT(error_in(R"("steps_per_print": "auto")"),
              HasSubstr("steps_per_print = \"auto\" at ds.json:2:1: \"auto\" is not a value of this key"));
}

TEST(ParseConfig, BatchErrorsNameTheFile) {
  EXPECT_THAT(error_in(R"("train_micro_batch_size_per_gpu": 3)"),
              AllOf(HasSubstr("ds.json: batch sizes do not agree"), HasSubstr("(8 != 3 * 1 * 2)")));
  EXPECT_THAT(error_of([] { parse_config("{}", 2); }), HasSubstr("a batch size is missing"));
  EXPECT_THAT(error_in(R"("gradient_accumulation_steps": 0)"),
              HasSubstr("gradient_accumulation_steps must be a whole number > 0"));
  EXPECT_THAT(error_in(R"("train_micro_batch_size_per_gpu": 1.5)"), HasSubstr("must be a whole number > 0"));
}

TEST(ParseConfig, KeysThatContradictEachOtherAreErrors) {
  EXPECT_EQ(error_in("\"fp16\": {\"enabled\": true},\n\"bf16\": {\"enabled\": true}"),
            "fp16.enabled and bf16.enabled are both true (ds.json:2:1, ds.json:3:1): enable one of them");
  EXPECT_THAT(error_in(R"("bf16": {"enabled": true}, "bfloat16": {"enabled": true})"),
              HasSubstr("two names of one key"));
  EXPECT_THAT(error_in(R"("zero_optimization": {"stage": 1, "compute_grad_norm": false})"),
              HasSubstr("needs \"gradient_clipping\": 0; it is 1 by default"));
  EXPECT_THAT(error_in(R"("zero_optimization": {"compute_grad_norm": false}, "gradient_clipping": 0)"),
              HasSubstr("needs zero_optimization.stage 1 or 2; the stage is 0"));
  EXPECT_EQ(
      error_in(R"("zero_optimization": {"stage": 1, "compute_grad_norm": false}, "gradient_clipping": 0)"),
      "");
  EXPECT_THAT(error_in(R"("zero_optimization": {"allgather_bucket_size": 3})"),
              HasSubstr("must be a multiple of 2"));
  EXPECT_THAT(error_in(R"("data_types": {"param_dtype": "bf16"})"),
              HasSubstr("does not agree with the precision"));
  EXPECT_EQ(error_in(R"("data_types": {"param_dtype": "bf16"}, "bf16": {"enabled": true})"), "");
  EXPECT_THAT(error_in(R"("data_parallel_size": 3)"), HasSubstr("does not agree with the 2 ranks"));
  EXPECT_EQ(error_in(R"("data_parallel_size": 2, "sequence_parallel_size": 1)"), "");
}

TEST(ParseConfig, BfloatSixteenIsAnAlias) {
  EXPECT_EQ(parse(R"("bfloat16": {"enabled": true})").model_dtype(), DataType::kBf16);
}

struct Wrong {
  const char* members;
  const char* message;
};
class WrongKey : public ::testing::TestWithParam<Wrong> {};
TEST_P(WrongKey, IsAnsweredClearly) {
  EXPECT_THAT(error_in(GetParam().members), AllOf(HasSubstr(GetParam().message), HasSubstr("ds.json:2:")));
}
INSTANTIATE_TEST_SUITE_P(
    ErrorClasses, WrongKey,
    ::testing::Values(
        Wrong{R"("fp16": {"loss_scale": true})", "fp16.loss_scale must be a number >= 0"},
        Wrong{R"("fp16": {"loss_scale": -1})", "fp16.loss_scale must be a number >= 0"},
        Wrong{R"("fp16": {"enabled": true, "loss_scale_window": 0})",
              "fp16.loss_scale_window must be > 0 when the loss scale is dynamic"},
        Wrong{R"("fp16": {"enabled": true, "min_loss_scale": 0})", "fp16.min_loss_scale must be > 0"},
        Wrong{R"("fp16": {"min_loss_scale": true})", "fp16.min_loss_scale must be a whole number"},
        Wrong{R"("fp16": {"min_loss_scale": 0.5})", "fp16.min_loss_scale must be a whole number"},
        Wrong{R"("fp16": null)", "fp16 must be object, not null"},
        Wrong{R"("gradient_clipping": -1)", "gradient_clipping must be a number >= 0"},
        Wrong{R"("gradient_clipping": null)", "gradient_clipping must be number, not null"},
        Wrong{R"("steps_per_print": 0)", "steps_per_print must be a whole number > 0"},
        Wrong{R"("log_level": "warn")", "log_level must be one of debug, info, warning, error, critical"},
        Wrong{R"("checkpoint": {"tag_validation": "maybe"})",
              "checkpoint.tag_validation must be one of Ignore, Warn, Fail"},
        Wrong{R"("data_types": {"grad_accum_dtype": "fp8"})",
              "data_types.grad_accum_dtype must be one of fp32, fp16"},
        Wrong{R"("zero_optimization": [])", "zero_optimization must be an object"},
        Wrong{R"("zero_optimization": {"reduce_bucket_size": 0})", "must be a whole number > 0"},
        Wrong{R"("zero_optimization": {"offload_optimizer": {"device": "gpu"}})",
              "zero_optimization.offload_optimizer.device must be one of none, cpu, nvme"},
        Wrong{R"("zero_optimization": {"offload_optimizer": {"ratio": 1.5}})", ">= 0 and <= 1"},
        Wrong{R"("zero_optimization": {"stage": 2, "offload_optimizer": {"device": "cpu", "ratio": 0.5}})",
              "needs zero_optimization.stage 3; the stage is 2"},
        Wrong{R"("zero_optimization": {"stage": 3, "offload_optimizer": {"device": "nvme"}})",
              "needs \"nvme_path\": a folder on the disk"},
        Wrong{
            R"("zero_optimization": {"offload_optimizer": {"device": "nvme", "nvme_path": "/d", "buffer_count": 1, "pipeline_write": true}})",
            "needs to be at least 2"},
        Wrong{
            R"("zero_optimization": {"sub_group_size": 0, "offload_optimizer": {"device": "nvme", "nvme_path": "/d"}})",
            "needs to be > 0"},
        Wrong{
            R"("zero_optimization": {"stage": 1, "compute_grad_norm": false, "offload_optimizer": {"device": "cpu"}})",
            "needs offload_optimizer.device none"},
        Wrong{R"("zero_optimization": {"offload_optimizer": {"devcie": "cpu"}})", "did you mean 'device'?"}));

TEST(ParseConfig, AStaticScaleNeedsNoWindow) {
  EXPECT_EQ(
      parse(R"("fp16": {"enabled": true, "loss_scale": 128, "loss_scale_window": 0, "min_loss_scale": 0})")
          .fp16.loss_scale,
      128);
}

TEST(ParseConfig, ScalesAreNotCheckedWhileFp16IsOff) {
  EXPECT_EQ(error_in(R"("fp16": {"enabled": false, "loss_scale_window": 0, "min_loss_scale": 0})"), "");
}

TEST(ParseConfig, KeysWithoutEffectAreAccepted) {
  DeepspeedConfig c =
      parse(R"("disable_python_gc": true, "disable_allgather": true, "vocabulary_size": 50257)");
  EXPECT_THAT(c.warnings, ElementsAre(HasSubstr("vocabulary_size = 50257 at ds.json:2:55: a multiple of 8")));
}

}  // namespace
}  // namespace deepspeed::engine
