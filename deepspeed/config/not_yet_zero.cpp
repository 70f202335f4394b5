#include "deepspeed/config/not_yet.h"

namespace deepspeed::config {
namespace {

constexpr const char* kZenFlow = "ZenFlow";

}  // namespace

std::vector<NotYetRow> not_yet_zero_rows() {
  return {
      {"zero_optimization.elastic_checkpoint", "bool", "false", "=", "elastic ZeRO checkpoints"},
      {"zero_optimization.legacy_stage1", "bool", "false", "=",
       "the stage 1 of 2020, which DeepSpeed dropped as well"},
      {"zero_optimization.save_muon_momentum_buffer_in_memory", "bool", "false", "",
       "Muon with NVMe offload"},
      {"zero_optimization.zenflow", "strict|null", "null", "",
       "ZenFlow: offload that updates important gradients first."},
      {"zero_optimization.zenflow.topk_ratio", "number:0..1", "0.1", "!", kZenFlow},
      {"zero_optimization.zenflow.select_strategy", "auto|step|epoch", "\"auto\"", "", kZenFlow},
      {"zero_optimization.zenflow.select_interval", "auto|int", "\"auto\"", "", kZenFlow},
      {"zero_optimization.zenflow.update_interval", "auto|int>=1", "\"auto\"", "", kZenFlow},
      {"zero_optimization.zenflow.overlap_step", "bool", "false", "", kZenFlow},
      {"zero_optimization.zenflow.offload", "bool", "false", "", kZenFlow},
      {"zero_optimization.zenflow.auto_ratio", "number:0..1", "0.99", "", kZenFlow},
      {"zero_optimization.zenflow.full_warm_up_rounds", "int>=0", "0", "", kZenFlow},
      {"zero_optimization.zenflow.pt_reserved_cores_perc", "number:0..1", "0.5", "", kZenFlow},
      {"zero_optimization.zenflow.steps_per_epoch", "int|null", "null", "", kZenFlow},
  };
}

}  // namespace deepspeed::config
