#include "deepspeed/config/not_yet.h"

namespace deepspeed::config {
namespace {

constexpr const char* kOffloadOptimizer = "optimizer offload (ZeRO-Offload, ZeRO-Infinity)";
constexpr const char* kOffloadParam = "parameter offload (ZeRO-Infinity)";
constexpr const char* kZenFlow = "ZenFlow";
constexpr const char* kTiles = "optimizer steps by tiles (ZeRO-Infinity)";

}  // namespace

std::vector<NotYetRow> not_yet_zero_rows() {
  return {
      {"zero_optimization.elastic_checkpoint", "bool", "false", "=", "elastic ZeRO checkpoints"},
      {"zero_optimization.legacy_stage1", "bool", "false", "=",
       "the stage 1 of 2020, which DeepSpeed dropped as well"},
      {"zero_optimization.sub_group_size", "int>=0", "1e9", "", kTiles},
      {"zero_optimization.save_muon_momentum_buffer_in_memory", "bool", "false", "",
       "Muon with NVMe offload"},
      {"zero_optimization.offload_param", "strict|null", "null", "", "Where parameters live. Stage 3 only."},
      {"zero_optimization.offload_param.device", "none|cpu|nvme", "\"none\"", "=", kOffloadParam},
      {"zero_optimization.offload_param.nvme_path", "text|null", "null", "", kOffloadParam},
      {"zero_optimization.offload_param.buffer_count", "int>=0", "5", "", kOffloadParam},
      {"zero_optimization.offload_param.buffer_size", "int>=0", "1e8", "", kOffloadParam},
      {"zero_optimization.offload_param.max_in_cpu", "int>=0", "1e9", "", kOffloadParam},
      {"zero_optimization.offload_param.pin_memory", "bool", "true", "", kOffloadParam},
      {"zero_optimization.offload_optimizer", "strict|null", "null", "", "Where optimizer states live."},
      {"zero_optimization.offload_optimizer.device", "none|cpu|nvme", "\"none\"", "=", kOffloadOptimizer},
      {"zero_optimization.offload_optimizer.nvme_path", "text|null", "null", "", kOffloadOptimizer},
      {"zero_optimization.offload_optimizer.buffer_count", "int>=0", "4", "", kOffloadOptimizer},
      {"zero_optimization.offload_optimizer.pin_memory", "bool", "true", "", kOffloadOptimizer},
      {"zero_optimization.offload_optimizer.pipeline_read", "bool", "false", "", kOffloadOptimizer},
      {"zero_optimization.offload_optimizer.pipeline_write", "bool", "false", "", kOffloadOptimizer},
      {"zero_optimization.offload_optimizer.fast_init", "bool", "false", "", kOffloadOptimizer},
      {"zero_optimization.offload_optimizer.ratio", "number:0..1", "1.0", "", kOffloadOptimizer},
      {"zero_optimization.offload_optimizer.super_offload", "bool", "false", "=", "SuperOffload"},
      {"zero_optimization.offload_optimizer.cpuadam_cores_perc", "number:0..1", "0.8", "", kOffloadOptimizer},
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
