#include "deepspeed/config/not_yet.h"

namespace deepspeed::config {
namespace {

constexpr const char* kPartition = "activations partitioned over model-parallel ranks";
constexpr const char* kWriter = "checkpoint writers other than the ordinary one";
constexpr const char* kFlops = "the flops profiler";
constexpr const char* kComms = "the log of collectives";

}  // namespace

std::vector<NotYetRow> not_yet_block_rows() {
  return {
      {"sequence_parallel_size", "int>0|null", "null", "null|1", "sequence parallelism"},
      {"data_parallel_size", "int>0|null", "null", "", "sequence parallelism"},
      {"seq_parallel_communication_data_type", "fp16|fp32|bf16", "\"fp32\"", "", "sequence parallelism"},
      {"use_data_before_expert_parallelism", "bool", "false", "", "mixture-of-experts training"},
      {"optimizer.legacy_fusion", "bool", "false", "", "flattening as in the fp16 wrapper of 2020"},
      {"optimizer.params.amsgrad", "bool", "false", "=", "AMSGrad"},
      {"optimizer.params.set_grad_none", "bool", "true", "", "gradients set to zero rather than freed"},
      {"activation_checkpointing.partition_activations", "bool", "false", "=", kPartition},
      {"activation_checkpointing.contiguous_memory_optimization", "bool", "false", "=", kPartition},
      {"activation_checkpointing.number_checkpoints", "int>=0|null", "null", "", kPartition},
      {"activation_checkpointing.synchronize_checkpoint_boundary", "bool", "false", "=",
       "waiting for the device at every checkpoint"},
      {"checkpoint.load_universal", "bool", "false", "=", "universal checkpoints"},
      {"checkpoint.use_node_local_storage", "bool", "false", "=", "checkpoints on node-local storage"},
      {"checkpoint.parallel_write.pipeline_stage", "bool", "false", "=",
       "checkpoints written by several pipeline stages"},
      {"checkpoint.checkpoint_serialization", "bool", "true", "",
       "torch.save's own formats: no pickle is written here"},
      {"checkpoint.writer", "block|null", "null", "", "How checkpoint files are written."},
      {"checkpoint.writer.type", "MOCK|PYTHON|FAST", "\"FAST\"", "!PYTHON", kWriter},
      {"checkpoint.writer.decoupled", "bool", "false", "=", kWriter},
      {"checkpoint.writer.io_buffer_size", "int>0", "67108864", "", kWriter},
      {"checkpoint.writer.io_buffer_double", "bool", "true", "", kWriter},
      {"checkpoint.writer.show_statistics", "bool", "false", "", kWriter},
      {"checkpoint.writer.data_parallel", "REPLICA|SOCKET|MACHINE|null", "null", "=", kWriter},
      {"checkpoint.writer.io_multiplier", "int>0", "1", "", kWriter},
      {"datastates_ckpt", "any", "null", "null|false", "the DataStates checkpoint engine"},
      {"flops_profiler.enabled", "bool", "false", "=", kFlops},
      {"flops_profiler.recompute_fwd_factor", "number>=0", "0.0", "", kFlops},
      {"flops_profiler.profile_step", "int>=0", "1", "", kFlops},
      {"flops_profiler.module_depth", "int", "-1", "", kFlops},
      {"flops_profiler.top_modules", "int>0", "1", "", kFlops},
      {"flops_profiler.detailed", "bool", "true", "", kFlops},
      {"flops_profiler.output_file", "text|null", "null", "", kFlops},
      {"comms_logger", "strict", "{}", "",
       "Logging of collectives. A block without \"enabled\" asks for it, as in DeepSpeed."},
      {"comms_logger.enabled", "bool", "false", "!false", kComms},
      {"comms_logger.prof_all", "bool", "true", "", kComms},
      {"comms_logger.prof_ops", "texts", "[]", "", kComms},
      {"comms_logger.verbose", "bool", "false", "", kComms},
      {"comms_logger.debug", "bool", "false", "", kComms},
  };
}

}  // namespace deepspeed::config
