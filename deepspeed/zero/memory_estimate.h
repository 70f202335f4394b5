// DeepSpeed's estimates of the memory that model states take under ZeRO 2 and 3, as its functions of the same
// names compute and print them (runtime/zero/stage_1_and_2.py, stage3.py of 0.19.8): rules of thumb for
// 16-bit training with Adam, for hypothetical models too. What a run of ours takes `ds_train --dry-run` says.
// Torch-free.
#pragma once

#include <cstdint>
#include <string>

namespace deepspeed::zero {

struct ModelSize {
  int64_t total_params = 0;          // shared parameters counted once
  int64_t largest_layer_params = 0;  // of the module that itself holds the most
};

struct EstimateOptions {
  int num_gpus_per_node = 1, num_nodes = 1;
  double additional_buffer_factor = 1.5;
};

/// Bytes of one node's host memory, and of each of its GPUs.
struct MemoryNeeds {
  int64_t cpu = 0, gpu = 0;
};

MemoryNeeds estimate_zero2_model_states_mem_needs(int64_t total_params, const EstimateOptions& options,
                                                  bool cpu_offload = true);

struct Zero3Options {
  bool cpu_offload = true;         // optimizer states
  bool cpu_offload_params = true;  // counts only with cpu_offload
  bool zero_init = true;           // the model is built in parts
};
MemoryNeeds estimate_zero3_model_states_mem_needs(const ModelSize& model, const EstimateOptions& options,
                                                  const Zero3Options& placement = {});

/// The tables that DeepSpeed's functions print. base::Error for sizes, counts or factors below zero, no GPU
/// or no node, and what is too large to count.
std::string estimate_zero2_model_states_mem_needs_all_cold(int64_t total_params,
                                                           const EstimateOptions& options = {});
std::string estimate_zero3_model_states_mem_needs_all_cold(const ModelSize& model,
                                                           const EstimateOptions& options = {});

}  // namespace deepspeed::zero
