// The `zero_optimization` block: how model states are sharded over the data-parallel group.
#pragma once

#include <cstdint>
#include <optional>

#include "deepspeed/config/data_type.h"

namespace deepspeed::zero {

enum class GradientOp { kMean, kSum };

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

/// Keys, defaults and ranges as DeepSpeed 0.19.8's runtime/zero/config.py. Sizes are in elements, not bytes.
/// Keys of offloading, stage 3 and ZeRO++ are in config/not_yet.
struct ZeroConfig {
  /// 0: plain data parallelism; 1: optimizer states sharded; 2: gradients as well; 3: parameters as well
  /// (parsing refuses 3 until it is built).
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

  ReductionConfig reduction;
};

}  // namespace deepspeed::zero
