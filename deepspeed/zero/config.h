// The `zero_optimization` block: how model states are sharded over the data-parallel group.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "deepspeed/config/data_type.h"

namespace deepspeed::zero {

enum class GradientOp { kMean, kSum };

/// Where a model state lives.
enum class Home { kDevice, kCpu, kNvme };

/// The top-level keys on how gradients are summed over the data-parallel ranks (see reduction_scale.h).
struct ReductionConfig {
  /// Divide by the world size before the sum rather than after it.
  bool prescale_gradients = false;
  /// > 0; the part of the division that is done before the sum.
  double gradient_predivide_factor = 1;
  GradientOp gradient_allreduce_op = GradientOp::kMean;
  /// What travels; nothing: what gradients are accumulated in.
  std::optional<config::DataType> communication_data_type;
};

/// Modules that stage 3 gathers as one: by C++ class (the default names DeepSpeed's Python ones), by dotted
/// name, or by how the name ends.
struct LeafModules {
  std::vector<std::string> classes = {
      "transformers.models.mixtral.modeling_mixtral.MixtralSparseMoeBlock",
      "transformers.models.qwen2_moe.modeling_qwen2_moe.Qwen2MoeSparseMoeBlock",
      "transformers.models.qwen3_moe.modeling_qwen3_moe.Qwen3MoeSparseMoeBlock"};
  std::vector<std::string> names, name_suffixes;
};

/// Keys of stage 3: when parameters are gathered and released (fetch_plan.h). Sizes are in elements. With the
/// prefix stage3_ in a configuration, or without.
struct Stage3Config {
  /// Gathered ahead of their use at once, >= 0.
  int64_t prefetch_bucket_size = 50'000'000;
  /// Smaller parameters stay whole on every rank.
  int64_t param_persistence_threshold = 100'000;
  /// Bound of all those together.
  int64_t model_persistence_threshold = INT64_MAX;
  /// Gathered at once, beyond which nothing is prefetched or kept for its next use.
  int64_t max_live_parameters = 1'000'000'000;
  /// A parameter used again after fewer others is kept.
  int64_t max_reuse_distance = 1'000'000'000;
  /// Modules with fewer elements for each of their submodules are gathered as one.
  int64_t module_granularity_threshold = 0;
  /// Gather one parameter at a time and none ahead.
  bool allgather_sequential = false;
  /// save_16bit_model may gather the whole model.
  bool gather_16bit_weights_on_model_save = false;
  /// Say when the order of Blocks changes and the plan with it.
  bool log_trace_cache_warnings = false;
  LeafModules leaf_module;
};

/// `offload_optimizer`: where optimizer states live, master weights among them. On a CPU the device and kCpu
/// are one memory: what changes is the arithmetic, which is that of DeepSpeed's CPU optimizers.
struct OffloadOptimizerConfig {
  Home device = Home::kDevice;
  /// A folder on the disk that kNvme uses; needed by it.
  std::optional<std::string> nvme_path;
  /// Tiles that may be in memory at once, > 0 with kNvme.
  int64_t buffer_count = 4;
  /// Keep tiles in RAM (mlock) as far as the limits allow.
  bool pin_memory = true;
  /// Read the next tile, write the previous one, while a tile is being stepped.
  bool pipeline_read = false, pipeline_write = false;
  /// The part of the elements that is offloaded, the last ones (Twin-Flow); below 1 only at stage 3.
  double ratio = 1;

  bool enabled() const { return device != Home::kDevice; }
};

/// `offload_param`: where the parts of sharded parameters live. Stage 3.
struct OffloadParamConfig {
  Home device = Home::kDevice;
  /// A folder on the disk that kNvme uses; needed by it.
  std::optional<std::string> nvme_path;
  /// Parts that may be read ahead of their use at once.
  int64_t buffer_count = 5;
  int64_t buffer_size = 100'000'000;
  /// Elements of a rank's parts that stay in memory with kNvme.
  int64_t max_in_cpu = 1'000'000'000;
  bool pin_memory = true;
};

/// LoCo: the error that quantized_gradients makes is fed back (error_feedback.h).
struct LocoConfig {
  double err_beta = 0.8;       // how slowly the error kept follows the last one, in [0, 1)
  int64_t reset_after = 1024;  // reductions after which it starts from zero, > 0
};

/// ZeRO++ and MiCS: keys of stage 3 alone.
struct PlusPlusConfig {
  /// Ranks that hold a second copy of all parameters together; 0 or 1: none (hpZ).
  int64_t hpz_partition_size = 1;
  bool quantized_weights = false;               // gathered in 8 bits (qwZ)
  bool quantized_nontrainable_weights = false;  // frozen parameters are kept and gathered in 8 bits
  bool quantized_gradients = false;             // reduced in 4 bits (qgZ)
  std::optional<LocoConfig> loco;
  int64_t mics_shard_size = -1;  // ranks over which states are cut; -1 or 0: all
  /// MiCS: gather between hosts first, then within them.
  bool mics_hierarchical_params_gather = false;
  int gradient_bits = 4;  // no key: DeepSpeed's is fixed, too
};

/// Keys, defaults and ranges as DeepSpeed 0.19.8's runtime/zero/config.py. Sizes are in elements, not bytes.
struct ZeroConfig {
  /// 0: plain data parallelism; 1: optimizer states sharded; 2: gradients as well; 3: parameters as well.
  int stage = 0;
  bool contiguous_gradients = true;
  /// Reduce to the owner only; false: all-reduce, then each rank keeps its own pieces.
  bool reduce_scatter = true;
  /// Elements of a gradient bucket, > 0.
  int64_t reduce_bucket_size = 500'000'000;
  bool use_multi_rank_bucket_allreduce = true;
  /// All-gather of updated parameters; false: broadcasts from each owner.
  bool allgather_partitions = true;
  /// Elements of one all-gather of updated parameters, an even number >= 0 (0: each partition in one piece).
  int64_t allgather_bucket_size = 500'000'000;
  /// False: wait for each reduction before the next; else they overlap with backward, at every stage.
  std::optional<bool> overlap_comm;
  bool round_robin_gradients = false;
  /// Stage 2: false makes a parameter that got no gradient an error.
  bool ignore_unused_parameters = true;
  /// Pad each parameter to 16 bytes in the flat buffers of stages 1 and 2.
  bool parameter_alignment = false;
  /// False only with stage 1 or 2 and gradient_clipping 0: the global norm is then never computed.
  bool compute_grad_norm = true;
  /// On load, master weights come from the saved fp32 copy; false: from the model's weights.
  bool load_from_fp32_weights = true;
  /// Optimizer states on a disk are stepped in tiles of at most so many elements, > 0.
  int64_t sub_group_size = 1'000'000'000;

  OffloadOptimizerConfig offload_optimizer;
  OffloadParamConfig offload_param;
  Stage3Config stage3;
  PlusPlusConfig plus_plus;
  ReductionConfig reduction;
};

}  // namespace deepspeed::zero
