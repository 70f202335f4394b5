// Every switch of a feature that is not built: accepted while off, refused by one line when on.
#include "deepspeed/config/not_yet.h"

#include <gmock/gmock.h>

#include "deepspeed/engine/parse_config.h"
#include "errors.h"

namespace deepspeed::engine {
namespace {

using testing::error_of;
using ::testing::HasSubstr;
using ::testing::StartsWith;

std::string error_in(const std::string& members) {
  return error_of(
      [&] { parse_config(config::parse_text("{\"train_batch_size\": 8,\n" + members + "}", "ds.json"), 2); });
}

struct Switch {
  const char* off;
  const char* on;
};

class FeatureSwitch : public ::testing::TestWithParam<Switch> {};

TEST_P(FeatureSwitch, IsAcceptedWhileOff) { EXPECT_EQ(error_in(GetParam().off), ""); }

TEST_P(FeatureSwitch, IsRefusedWhenOn) {
  std::string message = error_in(GetParam().on);
  EXPECT_THAT(message, StartsWith("not available yet: "));
  EXPECT_THAT(message, HasSubstr(" at ds.json:2:"));
}

INSTANTIATE_TEST_SUITE_P(
    Zero, FeatureSwitch,
    ::testing::Values(
        Switch{R"("zero_optimization": {"offload_optimizer": {"device": "none", "super_offload": false}})",
               R"("zero_optimization": {"offload_optimizer": {"device": "cpu", "super_offload": true}})"},
        Switch{R"("zero_optimization": {"elastic_checkpoint": false})",
               R"("zero_optimization": {"elastic_checkpoint": true})"},
        Switch{R"("zero_optimization": {"leaf_module": {"classes": ["A"]}})",
               R"("zero_optimization": {"zenflow": {}})"}));

INSTANTIATE_TEST_SUITE_P(
    Blocks, FeatureSwitch,
    ::testing::Values(
        Switch{R"("sequence_parallel_size": 1)", R"("sequence_parallel_size": 2)"},
        Switch{R"("optimizer": {"type": "Adam", "params": {"amsgrad": false}})",
               R"("optimizer": {"type": "Adam", "params": {"amsgrad": true}})"},
        Switch{R"("activation_checkpointing": {"partition_activations": false, "number_checkpoints": 4})",
               R"("activation_checkpointing": {"partition_activations": true})"},
        Switch{R"("aio": {"block_size": 1048576, "thread_count": 1})", R"("aio": {"use_gds": true})"},
        Switch{
            R"("checkpoint": {"load_universal": false, "writer": null, "parallel_write": {"pipeline_stage": false}})",
            R"("checkpoint": {"writer": {}})"},
        Switch{R"("datastates_ckpt": false)", R"("datastates_ckpt": {})"},
        Switch{R"("flops_profiler": {"enabled": false, "top_modules": 3})",
               R"("flops_profiler": {"enabled": true})"},
        Switch{R"("comms_logger": {"enabled": false})", R"("comms_logger": {"verbose": true})"},
        Switch{R"("pipeline": {"stages": "auto"})", R"("pipeline": {"stages": 2})"}));

INSTANTIATE_TEST_SUITE_P(
    Features, FeatureSwitch,
    ::testing::Values(
        Switch{R"("autotuning": {"enabled": false, "metric": "flops"})",
               R"("autotuning": {"enabled": true})"},
        Switch{R"("data_efficiency": {"enabled": false, "data_sampling": {"enabled": true}})",
               R"("data_efficiency": {"enabled": true})"},
        Switch{R"("hybrid_engine": {"enabled": false})", R"("hybrid_engine": {"enabled": true})"},
        Switch{R"("tensor_parallel": {"autotp_size": 0, "tp": {"tp_size": 1}})",
               R"("tensor_parallel": {"autotp_size": 4})"},
        Switch{
            R"("tensor_parallel": {"partition_config": {"layer_specs": [{"patterns": ["a"], "partition_type": "row"}]}})",
            R"("tensor_parallel": {"tp": {"tp_size": 2}})"},
        Switch{R"("expert_parallel": {"enabled": false, "top_k": 2})",
               R"("expert_parallel": {"enabled": true})"},
        Switch{R"("compile": {"deepcompile": false})", R"("compile": {"deepcompile": true})"},
        Switch{R"("weight_quantization": {"enabled": false})", R"("weight_quantization": {"num_bits": 4})"}));

INSTANTIATE_TEST_SUITE_P(
    RemovedFromDeepSpeed, FeatureSwitch,
    ::testing::Values(
        Switch{R"("elasticity": {"enabled": false, "micro_batch_sizes": [2, 4]})",
               R"("elasticity": {"enabled": true})"},
        Switch{R"("progressive_layer_drop": {"enabled": false})",
               R"("progressive_layer_drop": {"enabled": true})"},
        Switch{R"("curriculum_learning": {"enabled": false})", R"("curriculum_learning": {"enabled": true})"},
        Switch{R"("eigenvalue": {"enabled": false})", R"("eigenvalue": {"enabled": true})"},
        Switch{R"("quantize_training": {"enabled": false, "eigenvalue": {"enabled": false}})",
               R"("quantize_training": {"enabled": true})"},
        Switch{R"("compression_training": {"sparse_pruning": {"shared_parameters": {"enabled": false},
                   "different_groups": {"sp1": {"params": {"dense_ratio": 0.5}, "modules": ["a"]}}}})",
               R"("compression_training": {"layer_reduction": {"enabled": true}})"},
        Switch{R"("amp": {"enabled": false, "opt_level": "O2"})", R"("amp": {"enabled": true})"},
        Switch{R"("nebula": {"enabled": false})", R"("nebula": {"enabled": true})"},
        Switch{R"("sparse_gradients": false)", R"("sparse_gradients": true)"},
        Switch{R"("graph_harvesting": false)", R"("sparse_attention": {"block": 16})"}));

TEST(NotYetRows, ListsOfWordsHoldOnlyThose) {
  EXPECT_EQ(error_in(R"("compile": {"passes": ["z1", "autosp"]})"), "");
  EXPECT_THAT(error_in(R"("compile": {"passes": ["z1", "z2"]})"),
              HasSubstr("compile.passes[1] must be one of z1, z3"));
  EXPECT_THAT(error_in(R"("compile": {"passes": "z1"})"), HasSubstr("compile.passes must be a list"));
}

// Each row's own default must be a value of its type that leaves the feature off.
TEST(NotYetRows, DefaultsAreOffAndOfTheRowsOwnType) {
  for (const config::NotYetRow& row : config::not_yet_rows()) {
    std::string type = row.type;
    if (type.starts_with("block") || type.starts_with("strict") || std::string(row.off).starts_with('!'))
      continue;
    config::Field field = config::not_yet_field(row, "key");
    config::Document document = config::parse_text("{\"key\": " + std::string(row.initial) + "}", row.path);
    config::Node node = *config::Node(document).find("key");
    if (node.json().is_null()) continue;  // left out; whether null may be written is the type's matter
    config::Warnings warnings;
    EXPECT_EQ(error_of([&] { field.read(node, nullptr, {}, warnings); }), "") << row.path;
  }
}

}  // namespace
}  // namespace deepspeed::engine
