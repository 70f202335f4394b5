// Keys of DeepSpeedInferenceConfig.
#include "deepspeed/inference/config.h"

#include <gmock/gmock.h>

#include <functional>

#include "deepspeed/base/error.h"

namespace deepspeed::inference {
namespace {

using config::Json;
using ::testing::HasSubstr;

std::string error_of(const std::string& text, const Json& arguments = Json::object()) {
  try {
    parse_inference_config(text, arguments);
  } catch (const base::Error& error) {
    return error.what();
  }
  return "no error";
}

TEST(InferenceConfig, DefaultsAreDeepSpeeds) {
  const InferenceConfig config = parse_inference_config("");
  EXPECT_EQ(config.dtype, WeightType::kFp16);
  EXPECT_EQ(config.tensor_parallel.tp_size, 1);
  EXPECT_EQ(config.tensor_parallel.tp_grain_size, 64);
  EXPECT_EQ(config.max_out_tokens, 1024);
  EXPECT_EQ(config.min_out_tokens, 1);
  EXPECT_FALSE(config.replace_with_kernel_inject);
  EXPECT_EQ(config.quant.weight.num_bits, 8);
  const Json defaults = default_inference_config();
  EXPECT_EQ(defaults["max_out_tokens"], 1024);
  EXPECT_EQ(defaults["tensor_parallel"]["tp_grain_size"], 64);
  EXPECT_EQ(defaults["moe"]["type"], "standard");
  EXPECT_EQ(defaults["dtype"], "fp16");
  EXPECT_EQ(defaults["zero"]["stage"], 0);
  EXPECT_EQ(defaults["zero"]["offload_param"], nullptr);
}

TEST(InferenceConfig, ZeroTakesTheKeysOfTraining) {
  const InferenceConfig config = parse_inference_config(
      R"({"zero": {"stage": 3, "stage3_param_persistence_threshold": 7, "reduce_bucket_size": 9,
                   "offload_param": {"device": "nvme", "nvme_path": "/disk", "buffer_count": 3, "max_in_cpu": 0}}})");
  EXPECT_TRUE(config.streams());
  EXPECT_EQ(config.zero.stage3.param_persistence_threshold, 7);
  EXPECT_EQ(config.zero.offload_param.nvme_path, "/disk");
  EXPECT_EQ(config.zero.offload_param.buffer_count, 3);
  for (const char* other :
       {R"({"zero": {"stage": 3}})", R"({"zero": {"stage": 3, "offload_param": {"device": "cpu"}}})",
        R"({"zero": {"stage": 2, "offload_param": {"device": "cpu"}}})"})
    EXPECT_FALSE(parse_inference_config(other).streams()) << other;
}

TEST(InferenceConfig, EverySpellingOfATypeIsUnderstood) {
  for (const char* name : {"fp16", "float16", "half", "torch.float16", "torch.half"})
    EXPECT_EQ(parse_inference_config("", {{"dtype", name}}).dtype, WeightType::kFp16) << name;
  for (const char* name : {"fp32", "float32", "float", "torch.float32"})
    EXPECT_EQ(parse_inference_config("", {{"dtype", name}}).dtype, WeightType::kFp32) << name;
  for (const char* name : {"bf16", "bfloat16", "bfloat", "torch.bfloat16"})
    EXPECT_EQ(parse_inference_config("", {{"dtype", name}}).dtype, WeightType::kBf16) << name;
  EXPECT_EQ(parse_inference_config("", {{"dtype", "int8"}}).dtype, WeightType::kInt8);
  for (const char* name : {"fp8", "float8_e4m3fn", "torch.float8_e4m3fn"})
    EXPECT_EQ(parse_inference_config("", {{"dtype", name}}).dtype, WeightType::kFp8) << name;
  EXPECT_THAT(error_of(R"({"dtype": "fp12"})"), HasSubstr("dtype"));
}

TEST(InferenceConfig, KeysHaveTheirAliasesAndOldForms) {
  const InferenceConfig config = parse_inference_config(
      R"({"kernel_inject": true, "tp": {"tp_size": 4}, "max_tokens": 77, "min_tokens": 3, "tm": true, "moe": false,
          "checkpoint": "weights", "base_dir": "/models", "ckpt_config": {}, "args": null, "replace_method": "auto"})");
  EXPECT_TRUE(config.replace_with_kernel_inject);
  EXPECT_EQ(config.tensor_parallel.tp_size, 4);
  EXPECT_EQ(config.max_out_tokens, 77);
  EXPECT_EQ(config.min_out_tokens, 3);
  EXPECT_EQ(config.checkpoint, "weights");
  const InferenceConfig old = parse_inference_config(R"({"mp_size": 2})");
  EXPECT_EQ(old.tensor_parallel.tp_size, 2);
  EXPECT_THAT(old.warnings, testing::ElementsAre(HasSubstr("use 'tensor_parallel.tp_size'")));
  EXPECT_THAT(error_of(R"({"mp_size": 2, "tensor_parallel": {"tp_size": 4}})"),
              HasSubstr("differ; keep tp_size"));
  const InferenceConfig quant = parse_inference_config(
      R"({"dtype": "int8", "quant": {"weight": {"num_bits": 4, "q_type": "asymmetric", "q_groups": 8}, "qkv": {"enabled": false}}})");
  EXPECT_EQ(quant.quant.weight.num_bits, 4);
  EXPECT_EQ(quant.quant.weight.q_type, QuantType::kAsymmetric);
  EXPECT_EQ(quant.quant.weight.q_groups, 8);
  EXPECT_FALSE(quant.quant.qkv);
}

TEST(InferenceConfig, ArgumentsJoinTheFileUnlessTheyDiffer) {
  EXPECT_EQ(parse_inference_config(R"({"dtype": "fp32"})", {{"max_out_tokens", 9}}).max_out_tokens, 9);
  EXPECT_EQ(parse_inference_config(R"({"max_out_tokens": 9})", {{"max_out_tokens", 9}}).max_out_tokens, 9);
  EXPECT_EQ(error_of(R"({"dtype": "fp32"})", {{"dtype", "fp16"}}),
            "conflicting values of 'dtype': \"fp32\" in config and \"fp16\" as an argument");
}

TEST(InferenceConfig, AListOfCheckpointFilesIsDeepSpeeds) {
  const auto config = parse_inference_config(
      R"({"checkpoint": {"type": "BLOOM", "checkpoints": ["a.bin", "/b.bin"], "version": 1.0}, "base_dir": "/models"})");
  EXPECT_EQ(config.checkpoint_files, (std::vector<std::string>{"a.bin", "/b.bin"}));
  EXPECT_EQ(config.base_dir, "/models");
  EXPECT_EQ(parse_inference_config(R"({"checkpoint": {"checkpoints": ["a.bin"], "base_dir": "/other"}})")
                .checkpoint_files,
            (std::vector<std::string>{"/other/a.bin"}));
}

TEST(InferenceConfig, WhatIsWrongOrNotBuiltIsOneLine) {
  EXPECT_EQ(error_of(R"({"dtyp": "fp32"})"), "unknown key 'dtyp' at config:1:2; did you mean 'dtype'?");
  EXPECT_EQ(error_of("", {{"max_out_token", 3}}),
            "unknown key 'max_out_token' at arguments; did you mean 'max_out_tokens'?");
  EXPECT_THAT(error_of(R"({"enable_cuda_graph": true})"),
              HasSubstr("not available yet: CUDA graphs (enable_cuda_graph"));
  EXPECT_THAT(error_of(R"({"moe": {"ep_size": 2}})"), HasSubstr("not available yet: expert parallelism"));
  EXPECT_THAT(error_of(R"({"zero": {"stage": 3, "ofload_param": null}})"),
              HasSubstr("did you mean 'offload_param'?"));
  EXPECT_THAT(error_of(R"({"zero": {"stage": 3, "offload_param": {"device": "nvme"}}})"),
              HasSubstr("needs \"nvme_path\""));
  EXPECT_THAT(error_of(R"({"zero": {"zenflow": {"topk_ratio": 0.2}}})"),
              HasSubstr("not available yet: ZenFlow"));
  EXPECT_THAT(error_of(R"({"injection_policy": {"BertLayer": 1}})"),
              HasSubstr("not available yet: policies"));
  EXPECT_THAT(error_of(R"({"checkpoint": {"checkpoints": []}})"),
              HasSubstr("checkpoint at config:1:2: 'checkpoints' must be a list of files"));
  EXPECT_THAT(error_of(R"({"checkpoint": {"checkpoints": [7]}})"), HasSubstr("holds 7, which is no file"));
  EXPECT_THAT(error_of(R"({"checkpoint": {"checkpoint": ["a"]}})"), HasSubstr("did you mean 'checkpoints'?"));
  EXPECT_THAT(
      error_of(R"({"checkpoint": {"checkpoints": {"non_tp": ["a"], "tp": ["b"]}, "parallelization": "tp"}})"),
      HasSubstr("split for tensor parallelism"));
  EXPECT_THAT(error_of(R"({"max_out_tokens": 0})"), HasSubstr("max_out_tokens must be"));
  EXPECT_THAT(error_of(R"({"max_out_tokens": 4, "min_out_tokens": 5})"), HasSubstr("above max_out_tokens"));
  EXPECT_THAT(error_of(R"({"tensor_parallel": {"tp_size": 0}})"), HasSubstr("tp_size must be"));
  EXPECT_THAT(error_of(R"({"dtype": "int8", "tensor_parallel": {"check_against_one_rank": true}})"),
              HasSubstr("check with dtype fp32"));
  EXPECT_THAT(parse_inference_config(R"({"dtype": "bf16", "quant": {"weight": {"num_bits": 4}}})").warnings,
              testing::ElementsAre(HasSubstr("quant has no effect with dtype bf16")));
  EXPECT_THAT(parse_inference_config(R"({"tensor_parallel": {"check_against_one_rank": true}})").warnings,
              testing::ElementsAre(HasSubstr("has no effect with one rank")));
}

}  // namespace
}  // namespace deepspeed::inference
